"""A proxy before two servers that sends each new connection to the other one."""

import itertools
import socket
import socketserver
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from totes_dagster_tests.system.end_to_end.neighbours.any_postgres import Server

_PORT = 5432


@contextmanager
def alternating(*servers: Server) -> Iterator[str]:
    """Run the proxy while the block lasts; yields a URI whose `{}` stands for the database."""
    turns = itertools.cycle(servers)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.socket(socket.AF_UNIX) as upstream:
                upstream.connect(f"{next(turns).sockets}/.s.PGSQL.{_PORT}")
                back = threading.Thread(target=_pump, args=(upstream, self.request), daemon=True)
                back.start()
                _pump(self.request, upstream)
                back.join()

    with tempfile.TemporaryDirectory(prefix="totes-proxy-") as folder:
        path = Path(folder) / f".s.PGSQL.{_PORT}"
        with socketserver.ThreadingUnixStreamServer(str(path), Handler) as proxy:
            proxy.daemon_threads = True
            threading.Thread(target=proxy.serve_forever, daemon=True).start()
            yield f"postgresql://postgres@/{{}}?host={quote(folder, safe='')}&port={_PORT}"
            proxy.shutdown()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(2**16):
            target.sendall(data)
    for side in (source, target):
        with suppress(OSError):
            side.shutdown(socket.SHUT_RDWR)
