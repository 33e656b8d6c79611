"""`totes dashboard`: serves or exports the dashboard, which needs the packages of an extra."""

import re
from importlib.util import find_spec
from pathlib import Path

import click

from totes_dagster.cli.group import Command
from totes_dagster.errors import DashboardError, FilterError

_BUNDLER = "vl_convert"
_PACKAGES = ("altair", "starlette", "uvicorn", _BUNDLER)


def _path(value: str) -> str:
    if value and not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", value):
        raise click.BadParameter(f"{value!r} is not a path like /dashboard.")
    return value


@click.command(cls=Command, short_help="Show the warehouse as charts, in a browser.")
@click.option("--port", default=3001, type=click.IntRange(1, 65535), show_default=True, help="Port of the dashboard.")
@click.option("--host", default=None, help="IPv4 address where to listen.  [default: only this machine]")
@click.option(
    "--path",
    default="",
    metavar="PATH",
    callback=lambda _context, _option, value: _path(value),
    help="What all addresses begin with, like /dashboard, behind a proxy that serves other things as well.",
)
@click.option(
    "--allow-host",
    "allowed_hosts",
    multiple=True,
    metavar="NAME",
    help="Host name that browsers know the dashboard by, besides this machine's; may be repeated.",
)
@click.option(
    "--export",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the pages to this folder instead, to be opened from there without a server.",
)
@click.option(
    "--filters", default="", help="Filters of the export, as in a page's address: currency=EUR&country=France"
)
def dashboard(
    *, port: int, host: str | None, path: str, allowed_hosts: tuple[str, ...], folder: Path | None, filters: str
) -> None:
    """Serve the dashboard, by default to this machine only, in read-only transactions, or export it.

    WAREHOUSE_READER_URL or WAREHOUSE_READER_SECRET_ID, if it is set, is all that this needs.

    The dashboard has no login: with --host, put a proxy in front that has one.
    """
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing == [_BUNDLER]:
        from totes_dagster.dashboard.scripts import is_installed

        missing = [] if is_installed("vega.js") else missing
    if missing:
        raise DashboardError(
            f"The dashboard needs packages that are not installed ({', '.join(missing)}). In a clone, `make dashboard` "
            "installs them; elsewhere, pip install 'totes-dagster[dashboard]'."
        )
    if filters and folder is None:
        raise click.UsageError("Give --filters with --export. A served page has its filters in its address.")
    from totes_dagster.config.platform import warehouse_for_queries

    if folder is None:
        from totes_dagster.dashboard.serving import HOST, serve

        serve(warehouse_for_queries(), port, host=host or HOST, path=path, allowed_hosts=allowed_hosts)
        return
    from totes_dagster.dashboard.exporting import export
    from totes_dagster.dashboard.filters import Filters

    try:
        chosen = Filters.from_query(filters)
    except FilterError as error:
        raise click.UsageError(str(error)) from error
    first = export(warehouse_for_queries(), folder, chosen)
    click.echo(f"Exported the dashboard. Open {first.resolve().as_uri()}")
