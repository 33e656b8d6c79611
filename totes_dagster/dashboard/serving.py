"""Serves the dashboard on this machine until Ctrl-C or SIGTERM."""

import socket
from contextlib import suppress

import uvicorn

from totes_dagster.config.platform import Warehouse
from totes_dagster.dashboard.server import Dashboard
from totes_dagster.errors import DashboardError
from totes_dagster.runtime.terminal import console, print_labelled

HOST = "127.0.0.1"


def serve(warehouse: Warehouse, port: int) -> None:
    """Serve the dashboard, to this machine only, and print its address.

    Args:
        warehouse: what it shows.
        port: where it listens; 0 for any port that is free.

    Raises:
        DashboardError: the port is in use.
    """
    dashboard = Dashboard(warehouse)
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError as error:
            raise DashboardError(f"Port {port} is in use. Choose another with --port.") from error
        listener.listen()
        print_labelled("Dashboard", f"  http://{HOST}:{listener.getsockname()[1]}")
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
