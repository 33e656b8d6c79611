"""Serves the dashboard until Ctrl-C or SIGTERM."""

import errno
import socket
from collections.abc import Iterable
from contextlib import suppress

import uvicorn

from totes_dagster.config.platform import Warehouse
from totes_dagster.dashboard.security import LOCAL_HOSTS
from totes_dagster.dashboard.server import Dashboard
from totes_dagster.errors import DashboardError
from totes_dagster.runtime.terminal import console, print_labelled

HOST = "127.0.0.1"


def serve(
    warehouse: Warehouse, port: int, *, host: str = HOST, path: str = "", allowed_hosts: Iterable[str] = ()
) -> None:
    """Serve the dashboard, and print its address.

    Args:
        warehouse: what it shows.
        port: where it listens; 0 for any port that is free.
        host: the IPv4 address where it listens: by default, one that only this machine reaches.
        path: what all addresses begin with, see `Dashboard`.
        allowed_hosts: host names that requests may be for, besides those of this machine.

    Raises:
        DashboardError: the port is in use, or this machine has no such address.
    """
    dashboard = Dashboard(warehouse, path=path, hosts=(*LOCAL_HOSTS, *allowed_hosts))
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise DashboardError(f"Port {port} is in use. Choose another with --port.") from error
            raise DashboardError(f"The dashboard cannot listen at {host}:{port}: {error.strerror}.") from error
        listener.listen()
        print_labelled("Dashboard", f"  http://{host}:{listener.getsockname()[1]}{path}")
        console.print("Press Ctrl-C to stop.")
        with suppress(KeyboardInterrupt):  # raised again once everything has been stopped
            Server(dashboard).run(sockets=[listener])
    console.print("Stopped.")


class Server(uvicorn.Server):
    """A server that ends the event streams before it waits for its connections to close."""

    def __init__(self, dashboard: Dashboard) -> None:
        config = uvicorn.Config(
            dashboard.app, log_level="warning", lifespan="on", server_header=False, timeout_graceful_shutdown=5
        )
        super().__init__(config)
        self._dashboard = dashboard

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop."""
        await self._dashboard.close_streams()
        await super().shutdown(sockets)
