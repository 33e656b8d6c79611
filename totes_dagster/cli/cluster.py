"""`totes cluster`: starts workers that take a share of large batches, on this machine or on several."""

import os
import threading
from contextlib import suppress

import click

from totes_dagster.cli.group import Commands
from totes_dagster.config import settings

_CORES = os.cpu_count() or 1

_CHECK_SECONDS = 1.0

_workers_option = click.option(
    "--workers", default=_CORES, type=click.IntRange(1), help="How many workers.  [default: one for each core]"
)
_port_option = click.option(
    "--port",
    default=settings.WORKERS_PORT,
    type=click.IntRange(1, 65535),
    show_default=True,
    help="Port of the scheduler.",
)


@click.group(
    "cluster", cls=Commands, invoke_without_command=True, short_help="Start workers that take a share of large batches."
)
@_workers_option
@_port_option
@click.pass_context
def cluster(context: click.Context, *, workers: int, port: int) -> None:
    """Start a scheduler and workers on this machine, until Ctrl-C, and say how to use them.

    The two commands start one of them each, as on the machines of a larger cluster.
    """
    if context.invoked_subcommand is not None:
        return
    from totes_dagster.cluster.local import LocalCluster
    from totes_dagster.cluster.programs import check_installed
    from totes_dagster.config.platform import cluster_credentials, platform_from_environment
    from totes_dagster.runtime.interruption import interruptibly

    check_installed()
    platform_from_environment(create=True)  # workers could only say in their logs that it is missing
    credentials, folder = cluster_credentials(create=True)
    local = LocalCluster(credentials, folder, port=port)

    stop = threading.Event()

    def run() -> None:
        click.echo("The workers start …")
        with local.running(workers) as there:
            click.echo(f"{workers} workers take a share of large batches where these are set, until Ctrl-C:")
            click.echo(f"  {settings.WORKERS}={there.address}\n  {settings.WORKERS_CREDENTIALS}={folder}")
            while not stop.wait(_CHECK_SECONDS):
                local.check()

    with suppress(KeyboardInterrupt):
        interruptibly(run, stop=stop.set)
    click.echo("Stopped.")


@cluster.command(short_help="Run the scheduler of a cluster.")
@click.option("--host", default="", help="Address where to listen.  [default: all of this machine's]")
@_port_option
def scheduler(*, host: str, port: int) -> None:
    """Run the scheduler of a cluster, which gives out work and does none."""
    from totes_dagster.cluster.programs import scheduler_command

    command = scheduler_command(host=host, port=port)
    os.execve(command[0], command, _environment())  # our own command line  # noqa: S606  # nosec B606


@cluster.command(short_help="Run workers of a cluster.")
@click.argument("address")
@_workers_option
def worker(*, address: str, workers: int) -> None:
    """Run workers on this machine that do what the scheduler at ADDRESS, like tls://host:8786, gives them.

    They find the databases and the lake by this machine's own settings.
    """
    from totes_dagster.cluster.programs import worker_command
    from totes_dagster.cluster.supervision import keep_running
    from totes_dagster.config.settings import workers_address

    keep_running(worker_command(workers_address(address)), workers, _environment())


def _environment() -> dict[str, str]:
    """The environment of Dask's programs, with the credentials that the settings name."""
    from totes_dagster.cluster.programs import check_installed, environment_of
    from totes_dagster.config.platform import cluster_credentials

    check_installed()
    credentials, _ = cluster_credentials()
    return environment_of(credentials)
