"""The dashboard as a server of this process, and what a test asks it."""

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from totes_dagster.config.platform import Warehouse
from totes_dagster.dashboard.server import Dashboard
from totes_dagster.dashboard.serving import HOST, Server

PATIENCE = 120


@dataclass(frozen=True)
class Answer:
    """What the server answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


class Served:
    """A running dashboard.

    Attributes:
        dashboard: it.
        port: where it listens.
    """

    def __init__(self, dashboard: Dashboard, port: int) -> None:
        self.dashboard = dashboard
        self.port = port
        self.url = f"http://{HOST}:{port}"

    def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            return Answer(
                response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
            )
        finally:
            connection.close()

    @contextmanager
    def events(self, query: str, path: str = "", **headers: str) -> Iterator[Iterator[dict[str, Any]]]:
        """The stream of events for a page, which has begun when the block does."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=PATIENCE)
        try:
            connection.request("GET", f"{path}/events?{query}", headers=headers)
            response = connection.getresponse()
            assert response.status == http.HTTPStatus.OK
            assert response.readline().startswith(b"retry:")
            yield _events(response)
        finally:
            connection.close()


def _events(response: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    while line := response.readline():
        if line.startswith(b"data: "):
            yield json.loads(line.removeprefix(b"data: "))


@contextmanager
def served(warehouse: Warehouse, **options: Any) -> Iterator[Served]:
    """A dashboard that answers during the block."""
    dashboard = Dashboard(warehouse, **options)
    server = Server(dashboard)
    with socket.create_server((HOST, 0)) as listener:
        thread = threading.Thread(target=server.run, args=[[listener]])
        thread.start()
        try:
            yield Served(dashboard, listener.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join()
