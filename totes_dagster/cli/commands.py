"""The commands of `totes` and their options: a thin layer over the code that Dagster runs too.

Each command imports what it needs, so that `totes --help` does not wait for pandas.
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


def _set_verbosity(context: click.Context, parameter: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's
    """Print more, or only errors: at once, because messages may come before the command begins."""
    if value and parameter.name == "verbose":
        logging.getLogger().setLevel(logging.INFO)
    elif value:
        from totes_dagster.runtime.terminal import console

        logging.getLogger().setLevel(logging.ERROR)
        console.quiet = True
        context.call_on_close(lambda: setattr(console, "quiet", False))


def _verbosity() -> list[click.Parameter]:
    """The options that every command takes, before its name or after it."""
    flag = {"is_flag": True, "is_eager": True, "expose_value": False, "callback": _set_verbosity}
    return [
        click.Option(["-v", "--verbose"], help="Also print informational log messages.", **flag),  # type: ignore[arg-type]
        click.Option(["-q", "--quiet"], help="Print errors only, and what was asked for as JSON.", **flag),  # type: ignore[arg-type]
    ]


class _Command(click.Command):
    """A command that takes the options of `totes` itself, too."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.params += _verbosity()


class _Commands(click.Group):
    """A group whose commands print one clear line when they fail with a named error."""

    command_class = _Command

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.params += _verbosity()

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except TotesError as error:
            click.secho(f"{type(error).__name__}: {error}", fg="red", err=True)
            sys.exit(1)


_orders_option = click.option(
    "--orders", default=5_000, type=click.IntRange(1), show_default=True, help="Sales orders of a new company."
)
_harsh_option = click.option(
    "--harsh", is_flag=True, help="Also make changes that are hard to capture: deletions, late commits, rollbacks."
)


_json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
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
@_json_option
def refresh(*, as_json: bool) -> None:
    """Bring the warehouse up to date, once."""
    from totes_dagster import pipeline
    from totes_dagster.cli.output import print_json, refreshed_as_json, summary
    from totes_dagster.config.platform import platform_from_environment
    from totes_dagster.runtime.terminal import console, shown_progress

    started = time.perf_counter()
    platform = platform_from_environment(create=True)
    with shown_progress() as progress:
        refreshed = _interruptible(lambda: pipeline.refresh(platform, progress=progress))
    seconds = time.perf_counter() - started
    if as_json:
        print_json(refreshed_as_json(refreshed, seconds))
    else:
        console.print(f"{summary(refreshed)} {seconds:.2f} s", soft_wrap=True)


@main.command(short_help="Compare the warehouse with the source; repair what differs.")
@_json_option
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
        reconciled = _interruptible(lambda: pipeline.reconcile(platform, progress))
    seconds = time.perf_counter() - started
    if as_json:
        print_json(reconciled_as_json(reconciled, seconds))
    else:
        show_reconciled(reconciled)
        console.print(f"{seconds:.2f} s")
    sys.exit(1 if any(reconciled.left.values()) else 0)


@main.command(short_help="Show the state of each stage.")
@_json_option
@click.option("--check", is_flag=True, help="Exit with status 1 if anything is behind or broken.")
def status(*, as_json: bool, check: bool) -> None:
    """Show the state of each stage, and how far the warehouse lags behind the source. Creates and changes nothing.

    With --check, the exit status is 1 if the warehouse does not show the source as it is now, a stage is incomplete, or
    rows are in quarantine.
    """
    from totes_dagster.cli.output import print_json, show_status, status_as_json
    from totes_dagster.config.platform import platform_from_environment
    from totes_dagster.errors import NothingHereError
    from totes_dagster.runtime.terminal import console
    from totes_dagster.status import platform_status

    try:
        platform = platform_from_environment()
    except NothingHereError as nothing:
        if as_json:
            print_json({"is_current": False, "problems": [str(nothing)]})
        else:
            console.print(str(nothing), soft_wrap=True)  # an answer, not a failure: the state before the first refresh
        sys.exit(int(check))
    found = platform_status(platform)
    if as_json:
        print_json(status_as_json(found))
    else:
        show_status(found)
    if check and found.problems:
        click.echo(f"Not as it should be: {'; '.join(found.problems)}.", err=True)
        sys.exit(1)


@main.command(short_help="Query the warehouse.")
@click.argument("query", required=False)
@click.option("--csv", "form", flag_value="csv", help="Print the rows as CSV, with a header.")
@click.option("--json", "form", flag_value="json", help="Print the rows as JSON.")
def sql(*, query: str | None, form: str | None) -> None:
    """Run one QUERY on the warehouse and print its rows, or open psql there, in read-only transactions.

    WAREHOUSE_READER_URL, if it is set, is all that this needs.

    Tables need no schema: totes sql "select count(*) from current_sales_order"
    """
    from totes_dagster.cli.sql import Form, open_psql, print_query
    from totes_dagster.config.platform import warehouse_for_queries

    if query is None and form is not None:
        raise click.UsageError("Give a query with --csv or --json.")
    warehouse = warehouse_for_queries()
    if query is None:
        sys.exit(open_psql(warehouse))
    print_query(warehouse, query, Form(form or "table"))


@main.command(short_help="Check settings, connections, versions and rights.")
def doctor() -> None:
    """Look at all that the platform needs: settings, databases, lake, versions and rights. It only reads.

    The exit status is 1 if there is a problem.
    """
    from totes_dagster.cli.output import show_findings
    from totes_dagster.doctor import examine

    sys.exit(int(show_findings(examine())))


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
        _confirm("This writes simulated rows into the database that TOTESYS_URL names.")
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
        _confirm("This temporarily changes a row of the database that TOTESYS_URL names.")
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
        _confirm(f"This replaces the content of the warehouse's schema {platform.warehouse.schema} from the lake.")
    started = time.perf_counter()
    with shown_progress() as progress:
        batches = len(
            _interruptible(lambda: pipeline.rebuild(platform, from_another_lake=from_another_lake, progress=progress))
        )
    console.print(
        f"Rebuilt the warehouse from {batches:,} batches. {time.perf_counter() - started:.2f} s", soft_wrap=True
    )


@main.command(short_help="Describe the lake's tables for AWS Glue.")
@click.option(
    "--write", "write_to", type=click.Path(dir_okay=False, path_type=Path), help="Write the JSON to this file."
)
@click.option(
    "--check",
    "check_against",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Check that this file is current.",
)
def glue(*, write_to: Path | None, check_against: Path | None) -> None:
    """Print the lake's tables as AWS Glue describes them, derived from the declarations; or write or check a file.

    Terraform reads terraform/modules/catalogue/tables.json. With --check, the exit status is 1 if the file differs.
    """
    from totes_dagster.aws.glue import check_current, glue_catalogue, to_json

    if write_to and check_against:
        raise click.UsageError("Give --write or --check, not both.")
    if check_against:
        check_current(check_against)
    elif write_to:
        write_to.write_text(to_json(glue_catalogue()), encoding="utf-8")
    else:
        click.echo(to_json(glue_catalogue()), nl=False)


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
    DAGSTER_POSTGRES_SECRET_ID describes. Repeating the command is safe.
    """
    from totes_dagster.orchestration.provisioning import provision as steps
    from totes_dagster.runtime.terminal import console

    for done in steps(roles):
        console.print(done, soft_wrap=True)


def _confirm(warning: str) -> None:
    """Ask whether to continue; end the command if the answer is no, or if there is no input."""
    try:
        agreed, line_has_ended = click.confirm(f"{warning} Go on?"), sys.stdin.isatty()
    except click.Abort:  # end of input, or Ctrl-C
        agreed, line_has_ended = False, False
    if not line_has_ended:
        click.echo()
    if not agreed:
        click.echo("Nothing was changed. To skip the question, give --yes.", err=True)
        sys.exit(1)


def _interruptible(work: Callable[[], T]) -> T:
    """Do some work that Ctrl-C ends at once: nothing is half-written, and the next command carries on from there."""
    from totes_dagster.runtime.interruption import interruptibly

    try:
        return interruptibly(work)
    except KeyboardInterrupt:
        click.secho("Interrupted. Nothing is half-written; the next refresh carries on.", fg="red", err=True)
        sys.stdout.flush()
        os._exit(130)  # ends the working thread as well


if __name__ == "__main__":
    main()
