"""`totes dashboard`: serves or exports the dashboard, which needs the packages of an extra."""

from importlib.util import find_spec
from pathlib import Path

import click

from totes_dagster.cli.group import Command
from totes_dagster.errors import DashboardError, FilterError

_PACKAGES = ("altair", "starlette", "uvicorn", "vl_convert")


@click.command(cls=Command, short_help="Show the warehouse as charts, in a browser.")
@click.option("--port", default=3001, type=click.IntRange(1, 65535), show_default=True, help="Port of the dashboard.")
@click.option(
    "--export",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the pages to this folder instead, to be opened from there without a server.",
)
@click.option(
    "--filters", default="", help="Filters of the export, as in a page's address: currency=EUR&country=France"
)
def dashboard(*, port: int, folder: Path | None, filters: str) -> None:
    """Serve the dashboard on this machine, in read-only transactions, or export it.

    WAREHOUSE_READER_URL, if it is set, is all that this needs.
    """
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise DashboardError(
            f"The dashboard needs packages that are not installed ({', '.join(missing)}). In a clone, `make dashboard` "
            "installs them; elsewhere, pip install 'totes-dagster[dashboard]'."
        )
    if filters and folder is None:
        raise click.UsageError("Give --filters with --export. A served page has its filters in its address.")
    from totes_dagster.config.platform import warehouse_for_queries

    if folder is None:
        from totes_dagster.dashboard.serving import serve

        serve(warehouse_for_queries(), port)
        return
    from totes_dagster.dashboard.exporting import export
    from totes_dagster.dashboard.filters import Filters

    try:
        chosen = Filters.from_query(filters)
    except FilterError as error:
        raise click.UsageError(str(error)) from error
    first = export(warehouse_for_queries(), folder, chosen)
    click.echo(f"Exported the dashboard. Open {first.resolve().as_uri()}")
