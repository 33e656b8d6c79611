"""The command line, `totes`: thin over the code that Dagster runs too.

Imports are inside the commands: `totes --help` should not wait for pandas.
"""

import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO, TypeVar

import click

from totes_dagster.config.env_file import read_env_file
from totes_dagster.errors import TotesError

T = TypeVar("T")


class _Commands(click.Group):
    """A group whose commands end with one clear line when they fail with a named error."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except TotesError as error:
            click.secho(f"{type(error).__name__}: {error}", fg="red", err=True)
            sys.exit(1)


_orders_of_a_new_company = click.option(
    "--orders", default=5_000, type=click.IntRange(1), show_default=True, help="Sales orders of a new company."
)
_harsh = click.option(
    "--harsh", is_flag=True, help="Make also such changes as are hard to capture: deletions, late commits, rollbacks."
)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-v", "--verbose", is_flag=True, help="Log what happens.")
def main(*, verbose: bool) -> None:
    """Every change of totesys, archived in a data lake and kept current in a warehouse.

    With nothing configured, everything runs on an embedded stack under .totes/. The README lists the settings.
    """
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(asctime)s %(message)s")
    replaced = read_env_file(Path())
    if replaced:
        click.secho(
            f"The file .env sets {', '.join(replaced)} to something else than the environment does. The file counts, "
            "as it does for Dagster.",
            fg="yellow",
            err=True,
        )


@main.command(short_help="See the whole platform work, in a minute.")
@_orders_of_a_new_company
def demo(*, orders: int) -> None:
    """Seed a company, refresh, change something, refresh, and show what became of it."""
    from totes_dagster.cli.demo import show

    show(orders)


@main.command(short_help="Run Dagster's UI, with a company living on.")
@_orders_of_a_new_company
@click.option(
    "--rate",
    default=0.1,
    type=click.FloatRange(0),
    show_default=True,
    help="Changes per second, on average; 0 for none.",
)
@_harsh
@click.option("--port", default=3000, type=click.IntRange(1, 65535), show_default=True, help="Port of Dagster's UI.")
def dev(*, orders: int, rate: float, harsh: bool, port: int) -> None:
    """Run Dagster's UI and automation; on the embedded stack, with the simulator changing the source."""
    from totes_dagster.orchestration.development.dev import run

    run(orders=orders, rate=rate, harsh=harsh, port=port)


@main.command(short_help="Bring the warehouse up to date, once.")
def refresh() -> None:
    """Bring the warehouse up to date, once."""
    from totes_dagster import pipeline
    from totes_dagster.cli.output import summary
    from totes_dagster.config.platform import platform_from_environment
    from totes_dagster.runtime.terminal import shown_progress

    started = time.perf_counter()
    platform = platform_from_environment(create=True)
    with shown_progress() as progress:
        refreshed = _until_ctrl_c(lambda: pipeline.refresh(platform, progress=progress))
    click.echo(f"{summary(refreshed)} {time.perf_counter() - started:.2f} s")


@main.command(short_help="Compare the warehouse with the source; repair what differs.")
def reconcile() -> None:
    """Bring the warehouse up to date, compare it with the source row by row, and repair what differs.

    The exit status is 1 where something could not be repaired.
    """
    from totes_dagster import pipeline
    from totes_dagster.cli.output import show_reconciled
    from totes_dagster.config.platform import platform_from_environment
    from totes_dagster.runtime.terminal import shown_progress

    started = time.perf_counter()
    platform = platform_from_environment()
    with shown_progress() as progress:
        reconciled = _until_ctrl_c(lambda: pipeline.reconcile(platform, progress))
    show_reconciled(reconciled)
    click.echo(f"{time.perf_counter() - started:.2f} s")
    sys.exit(1 if any(reconciled.left.values()) else 0)


@main.command(short_help="Show where the stages stand.")
def status() -> None:
    """Show where the stages stand, and how far the warehouse lags behind the source; make and change nothing."""
    from totes_dagster.cli.output import show_status
    from totes_dagster.config.platform import platform_from_environment
    from totes_dagster.errors import NothingHereError
    from totes_dagster.status import platform_status

    try:
        platform = platform_from_environment()
    except NothingHereError as nothing:
        click.echo(nothing)  # an answer, and no failure: where the stages stand before there are any
    else:
        show_status(platform_status(platform))


@main.command(short_help="Seed or change a source.")
@click.option(
    "--orders", type=click.IntRange(1), help="Make a company with so many sales orders, in an empty database."
)
@click.option(
    "--rate", type=click.FloatRange(0, min_open=True), help="Then change it so many times per second, on average."
)
@_harsh
@click.option("--seed", "random_seed", default=0, show_default=True, help="What every random choice follows from.")
@click.option("--yes", is_flag=True, help="Do not ask before changing a source that is not the embedded one.")
def simulate(*, orders: int | None, rate: float | None, harsh: bool, random_seed: int, yes: bool) -> None:
    """Seed a source, or change it until Ctrl-C: the one that TOTESYS_URL names, or the embedded one."""
    from totes_dagster.cli.simulate import live, seed
    from totes_dagster.config.settings import is_configured

    if orders is None and rate is None:
        raise click.UsageError("Give --orders to seed a source, --rate to change one, or both.")
    if harsh and rate is None:
        raise click.UsageError("Give --rate with --harsh: it says how a source is changed.")
    if is_configured() and not yes:
        _ask_to_go_on("This writes made-up rows into the database that TOTESYS_URL names.")
    if orders is not None:
        seed(orders, random_seed)
    if rate is not None:
        live(rate, random_seed, harsh=harsh)


@main.command(short_help="Measure how soon the warehouse shows a change.")
@click.option("--changes", default=30, type=click.IntRange(1), show_default=True, help="How many changes to make.")
@click.option(
    "--every",
    default=5.0,
    type=click.FloatRange(0),
    show_default=True,
    help="Mean pause before each change, in seconds; the pauses are random.",
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
    help="Write every single measurement there.",
)
@click.option("--seed", "random_seed", default=0, show_default=True, help="What the pauses follow from.")
@click.option("--yes", is_flag=True, help="Do not ask before changing a source that is not the embedded one.")
def latency(
    *, changes: int, every: float, timeout: float, json_file: TextIO | None, random_seed: int, yes: bool
) -> None:
    """Measure how long changes take from their commit in the source until the warehouse shows them.

    Run it beside `totes dev`, or another Dagster of the platform's. Each change is a mark at the end of the last name
    of one member of staff, which analysts see until the next one; in the end it is taken off.
    """
    from totes_dagster.config.settings import is_configured
    from totes_dagster.latency.measurement import run

    if is_configured() and not yes:
        _ask_to_go_on("This changes a row, and back, in the database that TOTESYS_URL names.")
    run(changes=changes, every=every, timeout=timeout, random_seed=random_seed, json_file=json_file)


@main.command(short_help="Create or update the warehouse's tables.")
def migrate() -> None:
    """Create the warehouse's schema, or bring it up to date."""
    from totes_dagster import pipeline
    from totes_dagster.config.platform import platform_from_environment
    from totes_dagster.warehouse.migrations import HEAD

    before = pipeline.migrate(platform_from_environment().warehouse)
    if before == HEAD:
        click.echo(f"The warehouse is at revision {HEAD} already.")
    else:
        click.echo(f"Migrated the warehouse from {f'revision {before}' if before else 'none'} to revision {HEAD}.")


@main.command(short_help="Rebuild the warehouse from the lake.")
@click.option(
    "--from-another-lake", is_flag=True, help="Also where the warehouse was loaded from another lake than this one."
)
@click.option("--yes", is_flag=True, help="Do not ask before replacing a warehouse that is not the embedded one.")
def rebuild(*, from_another_lake: bool, yes: bool) -> None:
    """Load every batch of the lake anew, in one transaction; readers see the old state until it is done.

    Facts get their whole history anew. The tables stay the same, with the views and the rights that others put on them.
    """
    from totes_dagster import pipeline
    from totes_dagster.config.platform import platform_from_environment
    from totes_dagster.runtime.terminal import shown_progress

    platform = platform_from_environment()
    if not platform.embedded and not yes:
        _ask_to_go_on(
            f"This replaces what the schema {platform.warehouse.schema} of the warehouse holds by what the lake does."
        )
    started = time.perf_counter()
    with shown_progress() as progress:
        batches = len(
            _until_ctrl_c(lambda: pipeline.rebuild(platform, from_another_lake=from_another_lake, progress=progress))
        )
    click.echo(f"Rebuilt the warehouse from {batches:,} batches. {time.perf_counter() - started:.2f} s")


@main.command(short_help="Describe the lake's tables for AWS Glue.")
@click.option("--write", "write_to", type=click.Path(dir_okay=False, path_type=Path), help="Write the JSON there.")
@click.option(
    "--check",
    "check_against",
    type=click.Path(dir_okay=False, path_type=Path),
    help="See that this file is what would be written.",
)
def glue(*, write_to: Path | None, check_against: Path | None) -> None:
    """Print the lake's tables as AWS Glue describes them, derived from the declarations; or write, or check them.

    Terraform reads terraform/modules/catalogue/tables.json. Checking, the exit status is 1 where the file differs.
    """
    from totes_dagster.aws.glue import glue_catalogue, see_that_it_is_current, to_json

    if write_to and check_against:
        raise click.UsageError("Give --write or --check, not both.")
    if check_against:
        see_that_it_is_current(check_against)
    elif write_to:
        write_to.write_text(to_json(glue_catalogue()), encoding="utf-8")
    else:
        click.echo(to_json(glue_catalogue()), nl=False)


@main.command(short_help="Set up what a deployment made.")
@click.option(
    "--roles",
    type=click.Path(file_okay=False, path_type=Path),
    default="deploy/roles",
    show_default=True,
    help="The folder of the roles' scripts.",
)
def provision(*, roles: Path) -> None:
    """Make the databases and roles of a deployment, and migrate the warehouse and Dagster's storage.

    Each of the servers whose administrator's secret the environment names, by WAREHOUSE_ADMIN_SECRET_ID or
    DAGSTER_POSTGRES_ADMIN_SECRET_ID, gets the database, the role and the password that WAREHOUSE_SECRET_ID or
    DAGSTER_POSTGRES_SECRET_ID says. May be repeated as often as one likes.
    """
    from totes_dagster.orchestration.provisioning import provision as steps

    for done in steps(roles):
        click.echo(done)


def _ask_to_go_on(warning: str) -> None:
    """Ask whether to go on, and end the command if not, also where nobody is there to answer."""
    try:
        agreed, line_has_ended = click.confirm(f"{warning} Go on?"), sys.stdin.isatty()
    except click.Abort:  # at the end of the input, or by Ctrl-C
        agreed, line_has_ended = False, False
    if not line_has_ended:
        click.echo()
    if not agreed:
        click.echo("Nothing was changed. To skip the question, give --yes.", err=True)
        sys.exit(1)


def _until_ctrl_c(work: Callable[[], T]) -> T:
    """Do some work such that Ctrl-C ends it at once: nothing is half-written, and the next command carries on."""
    from totes_dagster.runtime.interruption import interruptibly

    try:
        return interruptibly(work)
    except KeyboardInterrupt:
        click.secho("Interrupted. Nothing is half-written; the next refresh carries on.", fg="red", err=True)
        sys.stdout.flush()
        os._exit(130)  # the thread is not asked whether it would like to end


if __name__ == "__main__":
    main()
