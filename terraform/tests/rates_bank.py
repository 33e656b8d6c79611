"""A server that answers like the European Central Bank's Data Portal, or as it should not: as a test queues."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

RATES = (
    b"KEY,FREQ,CURRENCY,CURRENCY_DENOM,EXR_TYPE,EXR_SUFFIX,TIME_PERIOD,OBS_VALUE\r\n"
    b"EXR.D.GBP.EUR.SP00.A,D,GBP,EUR,SP00,A,2026-11-27,0.87615\r\n"
    b"EXR.D.USD.EUR.SP00.A,D,USD,EUR,SP00,A,2026-11-27,1.1602\r\n"
)


class Bank:
    """The server.

    Attributes:
        url: its address.
        requests: paths and queries of the requests so far.
    """

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.requests: list[str] = []
        self._queued: deque[Callable[[BaseHTTPRequestHandler], None]] = deque()

    def queue(self, *answers: Callable[[BaseHTTPRequestHandler], None]) -> None:
        """Answer the next requests so, and those after them with rates."""
        self._queued.extend(answers)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer a request."""
        self.requests.append(request.path)
        (self._queued.popleft() if self._queued else body(RATES))(request)


def body(
    content: bytes, *, status: int = 200, announced: int | None = None, **headers: str
) -> Callable[[BaseHTTPRequestHandler], None]:
    """An answer with a body; `announced` is its Content-Length, if it is another than the true one."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        given = {"Content-Type": "text/csv", "Content-Length": str(len(content) if announced is None else announced)}
        for name, value in {**given, **{name.replace("_", "-"): value for name, value in headers.items()}}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(content)
        request.close_connection = True

    return answer


def chunks_cut_off(request: BaseHTTPRequestHandler) -> None:
    """Half of a body in chunks."""
    request.send_response(200)
    request.send_header("Transfer-Encoding", "chunked")
    request.end_headers()
    request.wfile.write(b"%x\r\n%s" % (len(RATES), RATES[:80]))
    request.close_connection = True


def hang(request: BaseHTTPRequestHandler) -> None:
    """No answer, for longer than anybody waits."""
    time.sleep(1.5)


def dribble(request: BaseHTTPRequestHandler) -> None:
    """A byte now and then, each soon enough for a socket's time-out."""
    request.send_response(200)
    request.send_header("Content-Length", str(len(RATES)))
    request.end_headers()
    for position in range(15):
        time.sleep(0.1)
        request.wfile.write(RATES[position : position + 1])


def no_connection(request: BaseHTTPRequestHandler) -> None:
    """The connection ends before there is an answer."""
    request.close_connection = True


@contextmanager
def open_bank() -> Iterator[Bank]:
    """A server, as long as the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            try:
                bank.answer(self)
            except OSError:  # who asked is gone
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        bank = Bank(server.server_port)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield bank
        server.shutdown()
