"""Who may ask: the token that opens a session, the session's cookie, and the headers that every answer bears."""

import hashlib
import hmac
import ipaddress
import secrets
import socket
import time
from collections.abc import Iterable, Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, quote, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from brain_assets.review.invitations import Invitations
from brain_assets.review.sign_in import POLICY as SIGN_IN_POLICY
from brain_assets.review.sign_in import sign_in_page

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
SIGN_IN_HEADERS = {"content-security-policy": SIGN_IN_POLICY}
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
SESSION_SECONDS = 7 * 24 * 3600
MOST_SESSIONS = 1000
SAFE = {"GET", "HEAD"}
# A strict cookie is not sent by a browser that follows a link from elsewhere; it is when this page reloads itself.
COME_AGAIN = '<!doctype html><html lang="en"><meta http-equiv="refresh" content="0"><title>One moment</title></html>'
SIGN_IN = "Open the link with a token that was printed when this page was started.\n"
POLICY_VIOLATION = 1008
# Where an application finds the name of who came by an invitation, empty for who came by the page's own token.
GUEST = "brain.guest"


def is_loopback(host: str) -> bool:
    """Return whether an address can be reached from this machine only."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def known_hosts(host: str) -> set[str]:
    """Return the names under which a server bound to ``host`` may be asked.

    A foreign name that resolves to this machine is how a page elsewhere would try to reach it.
    """
    if is_loopback(host):
        return LOOPBACK | {host}
    return LOOPBACK | {host, socket.gethostname(), socket.getfqdn()}


class Sessions:
    """Cookies that were handed out, kept as digests, each with its end."""

    def __init__(self, seconds: float = SESSION_SECONDS) -> None:
        self.seconds = seconds
        self.ends: dict[str, float] = {}
        self.marks: dict[str, str] = {}

    def start(self, mark: str = "") -> str:
        """Return a new cookie, unrelated to the token; ``mark`` names the invitation by which somebody came."""
        now = time.time()
        self.ends = {digest: end for digest, end in list(self.ends.items())[-MOST_SESSIONS + 1 :] if end > now}
        cookie = secrets.token_urlsafe(32)
        self.ends[_digest(cookie)] = now + self.seconds
        self.marks = {digest: one for digest, one in self.marks.items() if digest in self.ends}
        if mark:
            self.marks[_digest(cookie)] = mark
        return cookie

    def holds(self, cookie: str) -> bool:
        """Return whether a cookie belongs to a session that has not ended."""
        return self.ends.get(_digest(cookie), 0) > time.time()

    def mark(self, cookie: str) -> str:
        """Return the invitation by which the bearer of a cookie came, nothing where it was the page's own token."""
        return self.marks.get(_digest(cookie), "")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Guard:
    """ASGI middleware before everything else.

    Parameters
    ----------
    app : ASGI application
        What is guarded.
    token : str
        Opens a session when given once as ``?token=``.
    hosts : iterable of str
        Names that the ``Host`` header may bear, without port.
    literal_hosts : bool
        Whether any IP address may stand in ``Host`` too; for servers bound to other than loopback.
    headers : mapping of str to str
        What every answer bears.
    deep : bool
        Whether a browser may arrive at any path, as in an application that has routes of its own, or at ``/`` only.
    invitations : Invitations, optional
        Tokens of people by name, who are let in, too; the application finds the name in the scope as `GUEST`.
    """

    def __init__(  # noqa: PLR0913 - each says what else is let in
        self,
        app: ASGIApp,
        token: str,
        hosts: Iterable[str] = LOOPBACK,
        *,
        literal_hosts: bool = False,
        headers: Mapping[str, str] = HEADERS,
        deep: bool = False,
        invitations: Invitations | None = None,
    ) -> None:
        self.app = app
        self.headers = headers
        self.deep = deep
        self.token = token.encode()
        self.hosts = {host.lower() for host in hosts}
        self.literal_hosts = literal_hosts
        self.sessions = Sessions()
        self.invitations = invitations

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer in the application's place, or let the request pass."""
        if scope["type"] == "http":
            refusal = self._refusal(scope)
            scope[GUEST] = self.sessions.mark(_cookie(Headers(scope=scope), cookie_name(scope))).rpartition("\n")[0]
            headers = {**self.headers, **SIGN_IN_HEADERS} if isinstance(refusal, HTMLResponse) else self.headers
            await (refusal or self.app)(scope, receive, _with_headers(send, headers))
        elif scope["type"] == "websocket" and not self._may_talk(scope):
            await receive()
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
        else:
            await self.app(scope, receive, send)

    def _may_talk(self, scope: Scope) -> bool:
        """Return whether a websocket may be opened; browsers let any site's page try, and say which in ``Origin``."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        scheme = {"ws": "http", "wss": "https"}[scope["scheme"]]
        return (
            self._known_host(host)
            and self._in_session(scope, headers)
            and headers.get("origin") == f"{scheme}://{host}"
        )

    def _refusal(self, scope: Scope) -> Response | None:
        """Return the answer to a request that must not pass, or None."""
        headers = Headers(scope=scope)
        if not self._known_host(headers.get("host", "")):
            return PlainTextResponse("unknown host\n", 421)
        if scope["method"] in SAFE and self._is_program(headers):
            return None
        given = dict(_query(scope)).get("token")
        if given is not None and scope["method"] in SAFE:
            return self._sign_in(scope, given)
        if not self._in_session(scope, headers):
            if not self._arrives(scope, headers):
                return PlainTextResponse(SIGN_IN, 401)
            elsewhere = headers.get("sec-fetch-site") == "cross-site"
            return HTMLResponse(COME_AGAIN) if elsewhere else self._asking(scope, 401)
        return None if self._arrives(scope, headers) else _cross_site(scope, headers)

    def _is_program(self, headers: Headers) -> bool:
        """Return whether a request bears the token itself, as programs do; no page can make a browser send that."""
        scheme, _, given = headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self.token)

    def _in_session(self, scope: Scope, headers: Headers) -> bool:
        """Return whether a request comes from who signed in, and was not sent away since."""
        cookie = _cookie(headers, cookie_name(scope))
        mark = self.sessions.mark(cookie)
        invited = not mark or (self.invitations is not None and self.invitations.holds(mark))
        return invited and self.sessions.holds(cookie)

    def _arrives(self, scope: Scope, headers: Headers) -> bool:
        """Return whether a browser opens a page: this changes nothing, and whoever sent it there sees nothing of it."""
        place = scope["path"] == "/" or (self.deep and headers.get("sec-fetch-dest") == "document")
        return place and scope["method"] in SAFE

    def _place(self, scope: Scope) -> str:
        """Return where a link leads, on this server whatever it says."""
        return "/" + quote(scope["path"].lstrip("/\\"), safe="/:") if self.deep else "/"

    def _asking(self, scope: Scope, status: int) -> Response:
        """Return the page that takes the token and goes on to the link."""
        return HTMLResponse(sign_in_page(self._place(scope), _query(scope), wrong=status == 403), status)

    def _known_host(self, header: str) -> bool:
        name = header.rpartition("]")[0].lstrip("[") if header.startswith("[") else header.partition(":")[0]
        if name.lower() in self.hosts:
            return True
        return self.literal_hosts and _is_address(name)

    def _sign_in(self, scope: Scope, given: str) -> Response:
        guest = None
        if not hmac.compare_digest(given.encode("utf-8", "surrogatepass"), self.token):
            guest = self.invitations.bearer(given) if self.invitations else None
            if guest is None:
                return self._asking(scope, 403)
        kept = [(key, value) for key, value in _query(scope) if key != "token"]
        there = self._place(scope) + ("?" + urlencode(kept) if kept else "")
        answer = RedirectResponse(there, 303, {"cache-control": "no-store"})
        answer.set_cookie(
            cookie_name(scope),
            self.sessions.start(self.invitations.mark(guest) if self.invitations and guest else ""),
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="strict",
            path="/",
        )
        return answer


def _query(scope: Scope) -> list[tuple[str, str]]:
    return parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)


def cookie_name(scope: Scope) -> str:
    """Return the name of the session's cookie; it bears the port, since browsers share cookies between ports."""
    server = scope.get("server") or ("", 0)
    return f"brain_review_{server[1]}"


def _cookie(headers: Headers, name: str) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return ""
    return found.value if found else ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _cross_site(scope: Scope, headers: Headers) -> Response | None:
    """Refuse what another site's page makes a browser send, and any body that is not JSON."""
    if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        return JSONResponse({"error": "cross-site request"}, 403)
    if scope["method"] in SAFE:
        return None
    if headers.get("origin") != f"{scope['scheme']}://{headers.get('host', '')}":
        return JSONResponse({"error": "a request that changes something must come from this page"}, 403)
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return JSONResponse({"error": "send application/json"}, 415)
    return None


def _with_headers(send: Send, always: Mapping[str, str]) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            # A policy of the page's own, which may name what it alone knows, holds beside ours.
            own = headers.get("content-security-policy")
            for name, value in always.items():
                headers[name] = value
            if own:
                headers.append("content-security-policy", own)
            headers.setdefault("cache-control", "no-store")
        await send(message)

    return sending
