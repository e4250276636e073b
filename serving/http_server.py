"""HTTP connections: uvicorn's, with bounds on a request's head."""

import asyncio
import contextlib
from collections.abc import Iterator

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 2**16
HEAD_SECONDS = 60  # from the beginning of a connection, or the end of an answer, to the end of the next head


class Protocol(HttpToolsProtocol):
    """One connection, which is closed when the head of a request is too long in coming, or too large."""

    head_seconds: float = HEAD_SECONDS
    _timer: asyncio.TimerHandle | None = None
    _in_head = True
    _head_bytes = 0  # that have come since the last message

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._have_head()

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(f"The head of the request has more than {MAX_HEAD_BYTES} bytes")

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._have_head()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_head, self._head_bytes = True, 0

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete and not self.transport.is_closing():  # else the next request is there already
            self._wait_for_head()

    def _wait_for_head(self) -> None:
        self._have_head()
        self._timer = self.loop.call_later(self.head_seconds, self.transport.close)

    def _have_head(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # they are ours


def server(app: object, drain_seconds: float) -> uvicorn.Server:
    """A server of an application, without a port; what is under way when it is to exit has so long to end."""
    return _Server(
        uvicorn.Config(
            app,  # type: ignore[arg-type]
            http=Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            timeout_keep_alive=HEAD_SECONDS,
            timeout_graceful_shutdown=max(1, round(drain_seconds)),
        )
    )
