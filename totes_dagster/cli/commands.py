"""The commands of `totes` and their options: a thin layer over the code that Dagster runs too.

Each command imports what it needs, so that `totes --help` does not wait for pandas.
"""

import logging
import sys
import time
from pathlib import Path
from typing import TextIO

import click

from totes_dagster.cli import cluster, dashboard, feeds, looking
from totes_dagster.cli.group import Commands, confirm, interruptible, json_option
from totes_dagster.config.env_file import read_env_file

_orders_option = click.option(
    "--orders", default=5_000, type=click.IntRange(1), show_default=True, help="Sales orders of a new company."
)
_harsh_option = click.option(
    "--harsh", is_flag=True, help="Also make changes that are hard to capture: deletions, late commits, rollbacks."
)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="totes-dagster", prog_name="totes", message="%(prog)s %(version)s")
def main() -> None:
    """Archive every change of totesys in a data lake, and keep a warehouse current with it.

    Without settings, everything runs on an embedded stack under .totes/. docs/your-own-databases.md lists the settings.
    """
    logging.basicConfig(format="%(asctime)s %(message)s")
    replaced = read_env_file(Path())
    if replaced:
        click.secho(
            f"The file .env overrides {', '.join(replaced)} from the environment, as it does for Dagster.",
            fg="yellow",
            err=True,
        )


@main.command(short_help="Demonstrate the whole platform, in a minute.")
@_orders_option
def demo(*, orders: int) -> None:
    """Seed a company, refresh, change something, refresh again, and show the result."""
    from totes_dagster.cli.demo import show

    show(orders)


@main.command(short_help="Run Dagster's UI, with the simulator changing the source.")
@_orders_option
@click.option(
    "--rate",
    default=0.1,
    type=click.FloatRange(0),
    show_default=True,
    help="Changes per second, on average; 0 for none.",
)
@_harsh_option
@click.option("--port", default=3000, type=click.IntRange(1, 65535), show_default=True, help="Port of Dagster's UI.")
@click.option(
    "--module",
    "-m",
    "modules",
    multiple=True,
    help="Python module with a code location of your own, shown beside the platform's. May be repeated.",
)
def dev(*, orders: int, rate: float, harsh: bool, port: int, modules: tuple[str, ...]) -> None:
    """Run Dagster's UI and automation. On the embedded stack, the simulator changes the source meanwhile."""
    from totes_dagster.orchestration.development.dev import Company, run

    run(Company(orders, rate, harsh=harsh), port=port, modules=modules)


@main.command(short_help="Bring the warehouse up to date, once.")
@json_option
def refresh(*, as_json: bool) -> None:
    """Bring the warehouse up to date, once: with totesys, and with the files of feeds in the landing zone.

    The exit status is 1 if a feed failed; the others are taken all the same.
    """
    from totes_dagster import feed_pipeline, pipeline
    from totes_dagster.cli.output import print_json, refreshed_as_json, show_failed_feeds, show_refreshed_feeds, summary
    from totes_dagster.config.platform import platform_from_environment
    from totes_dagster.runtime.terminal import console, shown_progress

    started = time.perf_counter()
    platform = platform_from_environment(create=True)
    with shown_progress() as progress:
        refreshed = interruptible(lambda: pipeline.refresh(platform, progress=progress))
        feeds = interruptible(lambda: feed_pipeline.refresh_feeds(platform, progress))
    seconds = time.perf_counter() - started
    if as_json:
        print_json(refreshed_as_json(refreshed, feeds, seconds))
    else:
        console.print(f"{summary(refreshed)} {seconds:.2f} s", soft_wrap=True)
        show_refreshed_feeds(feeds)
    if show_failed_feeds(feeds):
        sys.exit(1)


@main.command(short_help="Compare the warehouse with the source; repair what differs.")
@json_option
def reconcile(*, as_json: bool) -> None:
    """Bring the warehouse up to date, compare it with the source row by row, and repair what differs.

    The exit status is 1 if something could not be repaired.
    """
    from totes_dagster import pipeline
    from totes_dagster.cli.output import print_json, reconciled_as_json, show_reconciled
    from totes_dagster.config.platform import platform_from_environment
    from totes_dagster.runtime.terminal import console, shown_progress

    started = time.perf_counter()
    platform = platform_from_environment()
    with shown_progress() as progress:
        reconciled = interruptible(lambda: pipeline.reconcile(platform, progress))
    seconds = time.perf_counter() - started
    if as_json:
        print_json(reconciled_as_json(reconciled, seconds))
    else:
        show_reconciled(reconciled)
        console.print(f"{seconds:.2f} s")
    sys.exit(1 if any(reconciled.left.values()) else 0)


@main.command(short_help="Seed or change a source.")
@click.option(
    "--orders", type=click.IntRange(1), help="Create a company with this many sales orders, in an empty database."
)
@click.option(
    "--rate", type=click.FloatRange(0, min_open=True), help="Then change it this many times per second, on average."
)
@_harsh_option
@click.option("--seed", "random_seed", default=0, show_default=True, help="Seed of all random choices.")
@click.option("--yes", is_flag=True, help="Do not ask before changing a source that is not the embedded one.")
def simulate(*, orders: int | None, rate: float | None, harsh: bool, random_seed: int, yes: bool) -> None:
    """Seed a source, or change it until Ctrl-C: the one that TOTESYS_URL names, or the embedded one."""
    from totes_dagster.cli.simulate import change, seed
    from totes_dagster.config.settings import is_configured

    if orders is None and rate is None:
        raise click.UsageError("Give --orders to seed a source, --rate to change one, or both.")
    if harsh and rate is None:
        raise click.UsageError("Give --rate with --harsh, which only affects changes.")
    if is_configured() and not yes:
        confirm("This writes simulated rows into the database that TOTESYS_URL names.")
    if orders is not None:
        seed(orders, random_seed)
    if rate is not None:
        change(rate, random_seed, harsh=harsh)


@main.command(short_help="Measure how soon the warehouse shows a change.")
@click.option("--changes", default=30, type=click.IntRange(1), show_default=True, help="Number of changes to make.")
@click.option(
    "--every",
    default=5.0,
    type=click.FloatRange(0),
    show_default=True,
    help="Mean of the random pauses before changes, in seconds.",
)
@click.option(
    "--timeout",
    default=60.0,
    type=click.FloatRange(0, min_open=True),
    show_default=True,
    help="How long to wait for each change, in seconds.",
)
@click.option(
    "--json",
    "json_file",
    type=click.File("w", encoding="utf-8", lazy=False),
    help="Write all measurements to this file.",
)
@click.option("--seed", "random_seed", default=0, show_default=True, help="Seed of the pauses.")
@click.option("--yes", is_flag=True, help="Do not ask before changing a source that is not the embedded one.")
def latency(
    *, changes: int, every: float, timeout: float, json_file: TextIO | None, random_seed: int, yes: bool
) -> None:
    """Measure how long changes take from their commit in the source until the warehouse shows them.

    Run it while `totes dev` or a deployed Dagster refreshes the warehouse. Each change appends a mark to the last name
    of one member of staff. Analysts see the mark until the next one replaces it; the last one is removed at the end.
    """
    from totes_dagster.config.settings import is_configured
    from totes_dagster.latency.measurement import run

    if is_configured() and not yes:
        confirm("This temporarily changes a row of the database that TOTESYS_URL names.")
    run(changes=changes, every=every, timeout=timeout, random_seed=random_seed, json_file=json_file)


@main.command(short_help="Create or update the warehouse's tables.")
def migrate() -> None:
    """Create the warehouse's tables, or migrate them to the newest revision."""
    from totes_dagster import pipeline
    from totes_dagster.config.platform import platform_from_environment
    from totes_dagster.runtime.terminal import console
    from totes_dagster.warehouse.migrations import HEAD

    before = pipeline.migrate(platform_from_environment().warehouse)
    if before == HEAD:
        console.print(f"The warehouse is at revision {HEAD} already.", soft_wrap=True)
    else:
        console.print(
            f"Migrated the warehouse from {f'revision {before}' if before else 'none'} to revision {HEAD}.",
            soft_wrap=True,
        )


@main.command(short_help="Rebuild the warehouse from the lake.")
@click.option("--from-another-lake", is_flag=True, help="Rebuild even if the warehouse was loaded from another lake.")
@click.option("--yes", is_flag=True, help="Do not ask before replacing a warehouse that is not the embedded one.")
def rebuild(*, from_another_lake: bool, yes: bool) -> None:
    """Reload every batch of the lake in one transaction; readers see the old state until it commits.

    Facts get their whole history again. The tables stay, with all views on them and grants to other roles.
    """
    from totes_dagster import pipeline
    from totes_dagster.config.platform import platform_from_environment
    from totes_dagster.runtime.terminal import console, shown_progress

    platform = platform_from_environment()
    if not platform.embedded and not yes:
        confirm(f"This replaces the content of the warehouse's schema {platform.warehouse.schema} from the lake.")
    started = time.perf_counter()
    with shown_progress() as progress:
        batches = len(
            interruptible(lambda: pipeline.rebuild(platform, from_another_lake=from_another_lake, progress=progress))
        )
    console.print(
        f"Rebuilt the warehouse from {batches:,} batches. {time.perf_counter() - started:.2f} s", soft_wrap=True
    )


@main.command(short_help="Try a restored copy of the warehouse.")
@click.option("--host", help="The server that has the copy, with the login of the warehouse.")
@click.option("--yes", is_flag=True, help="Do not ask before rebuilding a copy.")
def drill(*, host: str | None, yes: bool) -> None:
    """Bring a copy of the warehouse up to date from the lake, rebuild it from there, and compare the two.

    The exit status is 1 if they differ. The copy is changed; the source is not read. deploy/restore_drill.sh restores
    a copy on AWS, and runs this.
    """
    from totes_dagster.cli.output import show_drilled
    from totes_dagster.config.platform import platform_from_environment
    from totes_dagster.restore_drill import copy_on, drill
    from totes_dagster.runtime.terminal import shown_progress

    platform = platform_from_environment()
    if host:
        platform = copy_on(platform, host)
    elif not platform.embedded:
        raise click.UsageError("Name the server of the copy with --host.")
    if not platform.embedded and not yes:
        confirm(f"This rebuilds the warehouse's schema {platform.warehouse.schema} on {host} from the lake.")
    with shown_progress() as progress:
        drilled = interruptible(lambda: drill(platform, progress))
    show_drilled(drilled)
    sys.exit(1 if drilled.differing else 0)


@main.command(short_help="Set up the databases of a deployment.")
@click.option(
    "--roles",
    type=click.Path(file_okay=False, path_type=Path),
    default="deploy/roles",
    show_default=True,
    help="Folder of the role scripts.",
)
def provision(*, roles: Path) -> None:
    """Create the databases and roles of a deployment, and migrate the warehouse and Dagster's storage.

    WAREHOUSE_ADMIN_SECRET_ID and DAGSTER_POSTGRES_ADMIN_SECRET_ID name the secrets of the servers' administrators. A
    server whose secret is named gets the database, the role and the password that WAREHOUSE_SECRET_ID or
    DAGSTER_POSTGRES_SECRET_ID describes. The warehouse's also gets the dashboard's role, if WAREHOUSE_READER_SECRET_ID
    names its login. Repeating the command is safe.
    """
    from totes_dagster.orchestration.provisioning import provision as steps
    from totes_dagster.runtime.terminal import console

    for done in steps(roles):
        console.print(done, soft_wrap=True)


for command in (
    cluster.cluster,
    looking.status,
    looking.doctor,
    looking.sql,
    looking.metric,
    looking.glue,
    feeds.feeds,
    dashboard.dashboard,
):
    main.add_command(command)


if __name__ == "__main__":
    main()
