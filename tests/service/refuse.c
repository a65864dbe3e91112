/* Preloaded into every process of a test: refuses and notes whatever would leave this machine, also from native code. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void note(const char *how, const char *where) {
    const char *path = getenv("REFUSED_LOG");
    int file = path ? open(path, O_WRONLY | O_CREAT | O_APPEND, 0600) : -1;
    if (file >= 0) {
        dprintf(file, "%s %s\n", how, where);
        close(file);
    }
}

static int leaves(const char *how, const struct sockaddr *address) {
    char where[INET6_ADDRSTRLEN] = "?";
    if (address && address->sa_family == AF_INET) {
        const struct in_addr *host = &((const struct sockaddr_in *)address)->sin_addr;
        if ((ntohl(host->s_addr) >> 24) == 127) return 0;
        inet_ntop(AF_INET, host, where, sizeof where);
    } else if (address && address->sa_family == AF_INET6) {
        const struct in6_addr *host = &((const struct sockaddr_in6 *)address)->sin6_addr;
        if (IN6_IS_ADDR_LOOPBACK(host) || (IN6_IS_ADDR_V4MAPPED(host) && host->s6_addr[12] == 127)) return 0;
        inet_ntop(AF_INET6, host, where, sizeof where);
    } else {
        return 0;
    }
    note(how, where);
    errno = ENETUNREACH;
    return 1;
}

int connect(int fd, const struct sockaddr *address, socklen_t length) {
    return leaves("connect", address) ? -1 : REAL(connect)(fd, address, length);
}

ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *address, socklen_t length) {
    return leaves("sendto", address) ? -1 : REAL(sendto)(fd, data, size, flags, address, length);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    return leaves("sendmsg", message->msg_name) ? -1 : REAL(sendmsg)(fd, message, flags);
}

/* Whether no server has to be asked for an address: what is done with a number is seen when it is connected to. */
static int here(const char *host) {
    unsigned char number[sizeof(struct in6_addr)];
    return !host || !strcmp(host, "localhost") || inet_pton(AF_INET, host, number) || inet_pton(AF_INET6, host, number);
}

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    if (here(host)) return REAL(getaddrinfo)(host, service, hints, found);
    note("getaddrinfo", host);
    return EAI_FAIL;
}

struct hostent *gethostbyname(const char *host) {
    if (here(host)) return REAL(gethostbyname)(host);
    note("gethostbyname", host);
    return NULL;
}
