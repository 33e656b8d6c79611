"""The commands of `totes` that only look: at the state of the stages, at what is wrong, at rows and descriptions.

Each imports what it needs, as those in `commands.py` do.
"""

import sys
from datetime import datetime
from pathlib import Path

import click

from totes_dagster.cli.group import Command, json_option


@click.command(cls=Command, short_help="Show the state of each stage.")
@json_option
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


@click.command(cls=Command, short_help="Query the warehouse.")
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


@click.command(cls=Command, short_help="Ask the warehouse for a metric.")
@click.argument("name", required=False)
@click.option("--by", multiple=True, metavar="DIMENSION", help="Split the metric by this. May be repeated.")
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), metavar="DATE", help="The first day that counts.")
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), metavar="DATE", help="The last day that counts.")
@click.option(
    "--where",
    multiple=True,
    metavar="DIMENSION=MEMBER",
    help="Count only what belongs to this member. May be repeated; members of one dimension are alternatives.",
)
@click.option("--csv", "form", flag_value="csv", help="Print the answer as CSV, with a header.")
@click.option("--json", "form", flag_value="json", help="Print the answer as JSON.")
@click.option(
    "--chart",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Draw the answer into this file, which ends in .svg or .png. Needs the extra `dashboard`.",
)
def metric(  # noqa: PLR0913 - click's
    *,
    name: str | None,
    by: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    where: tuple[str, ...],
    form: str | None,
    chart: Path | None,
) -> None:
    """Ask for the metric NAME, or list all metrics with their meanings. docs/metrics.md describes them.

    It reads the warehouse as `totes sql` does: WAREHOUSE_READER_URL, if it is set, is all that this needs.

    By month: totes metric net_sales --by month --where currency=USD --since 2026-01-01
    """
    from totes_dagster.cli.metric import list_metrics, print_metric
    from totes_dagster.cli.sql import Form
    from totes_dagster.config.platform import warehouse_for_queries

    if name is None:
        if by or since or until or where or chart:
            raise click.UsageError("Give the name of a metric. `totes metric` lists them.")
        list_metrics(Form(form or "table"))
        return
    if any("=" not in restriction for restriction in where):
        raise click.UsageError("Give --where as DIMENSION=MEMBER, such as currency=USD.")
    print_metric(
        warehouse_for_queries(),
        name,
        by=by,
        since=since.date() if since else None,
        until=until.date() if until else None,
        where=where,
        form=Form(form) if form else None,
        chart=chart,
    )


@click.command(cls=Command, short_help="Check settings, connections, versions and rights.")
@json_option
def doctor(*, as_json: bool) -> None:
    """Look at all that the platform needs: settings, databases, lake, alerts, versions and rights. It only reads.

    The exit status is 1 if there is a problem.
    """
    from totes_dagster.cli.output import findings_as_json, print_json, show_findings
    from totes_dagster.doctor import Health, examine

    if as_json:
        findings = list(examine())
        print_json(findings_as_json(findings))
        sys.exit(int(any(finding.health is Health.BAD for finding in findings)))
    sys.exit(int(show_findings(examine())))


@click.command(cls=Command, short_help="Describe the lake's tables for AWS Glue.")
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
