"""A server waits for the head of a request only so long: connections that never ask would otherwise use up its files."""

import asyncio
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

HEAD_SECONDS = 20.0
# Connections at once; a browser opens six.
MOST_CONNECTIONS = 500


class PatientProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """Uvicorn's protocol, which closes a connection whose next request does not come to the end of its head in time."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Wait for the rest of a request that begins behind another; its body may take as long as it likes."""
        answered = self._is_answered()
        super().data_received(data)
        if not self._is_answered():
            self._stop()
        elif answered and self._deadline is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop()
        super().connection_lost(exc)

    def _is_answered(self) -> bool:
        """Return whether no request is under way of which the head is known."""
        return self.cycle is None or bool(self.cycle.response_complete)

    def _wait(self) -> None:
        self._deadline = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _stop(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        if self._is_answered() and not self.transport.is_closing():
            self.transport.close()


# How our servers are set up, beside what is each one's own.
SERVED: dict[str, Any] = {
    "http": PatientProtocol,
    "limit_concurrency": MOST_CONNECTIONS,
    "server_header": False,
    "proxy_headers": False,
}
