"""What ECS tells a container of its own task, at the address in ECS_CONTAINER_METADATA_URI_V4."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar


class _Handler(BaseHTTPRequestHandler):
    task: ClassVar[dict[str, str]]

    def do_GET(self) -> None:
        body = json.dumps(self.task if self.path.endswith("/task") else {"Name": "daemon"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def told(cluster: str, task: str) -> Iterator[str]:
    """The address at which a container learns its cluster and its task."""
    handler = type("Handler", (_Handler,), {"task": {"Cluster": cluster, "TaskARN": task}})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v4"
        server.shutdown()
