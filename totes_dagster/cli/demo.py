"""`totes demo`: the whole platform in a minute, in the terminal, on the embedded stack.

What it shows is the pipeline's own work; nothing is computed here.
"""

import json
import os
import shlex
import shutil
import sys
import time
from importlib.metadata import distribution
from itertools import pairwise
from pathlib import Path

import psycopg
from psycopg import sql
from rich.rule import Rule
from rich.text import Text

from totes_dagster import feed_pipeline, pipeline
from totes_dagster.cli.output import summary
from totes_dagster.config.platform import Platform, platform_from_environment
from totes_dagster.config.settings import is_configured
from totes_dagster.doctor import missing_for_dashboard
from totes_dagster.errors import SettingsError
from totes_dagster.feeds.declared import FEEDS
from totes_dagster.feeds.landing import LandingZone
from totes_dagster.feeds.rates import RatesSource
from totes_dagster.lake.zone import Zone
from totes_dagster.local.seeding import seed_with_progress
from totes_dagster.local.stack import LocalStack, stack_home
from totes_dagster.metrics.asking import ask
from totes_dagster.runtime.terminal import console, print_labelled, show_table, shown_progress
from totes_dagster.schema.facts import fact_sales_order
from totes_dagster.schema.registry import STAR_TABLES
from totes_dagster.schema.star import record_id_of
from totes_dagster.simulator.files import FileDrops
from totes_dagster.simulator.rates_server import RatesServer
from totes_dagster.simulator.simulator import Action, Simulator
from totes_dagster.warehouse.feed_status import rates_needed

_PROJECT = Path(__file__).parents[2]
"""The clone that the platform runs from, unless it was installed from a wheel."""


def show(orders: int) -> None:
    """Seed a company unless it exists, refresh, change the source, refresh again, and show the result.

    Args:
        orders: number of sales orders of a new company.

    Raises:
        SettingsError: the environment configures real databases, which a demonstration must not change.
    """
    if is_configured():
        raise SettingsError("The demo changes its source. Unset TOTESYS_URL and the other settings, and try again.")
    stack = LocalStack(stack_home())
    _heading("1. A source")
    with console.status("Starting PostgreSQL …"):
        stack.start()
    seed_with_progress(stack, orders)
    platform = platform_from_environment()

    _heading("2. From the source to the warehouse")
    _refresh_in_stages(platform)

    _heading("3. A change in the source, in the warehouse a moment later")
    with Simulator(stack.database_url("totesys"), seed=time.time_ns()) as simulator:
        sold = simulator.perform(Action.NEW_SALES_ORDER)
    (order,) = sold.ids["sales_order"]
    print_labelled("totesys", sold.description)
    _refresh(platform)
    _show_history(platform, order)

    _heading("4. An edit that does not move last_updated, then a deletion")
    with psycopg.connect(stack.database_url("totesys")) as connection:
        # The first or the second member of staff, whichever is not the present one.
        connection.execute("update sales_order set staff_id = 1 + staff_id %% 2 where sales_order_id = %s", [order])
    print_labelled("totesys", f"sales order {order:,}: another member of staff, last_updated unchanged")
    _refresh(platform)
    with psycopg.connect(stack.database_url("totesys")) as connection:
        for table in ("payment", "transaction"):
            connection.execute(
                sql.SQL("delete from {} where transaction_id = any(%s)").format(sql.Identifier(table)),
                [list(sold.ids["transaction"])],
            )
        connection.execute("delete from sales_order where sales_order_id = %s", [order])
    print_labelled("totesys", f"sales order {order:,}: deleted, with its transaction and payment")
    _refresh(platform)
    _show_history(platform, order)

    _heading("5. What does not come from totesys: exchange rates, deliveries, targets")
    _take_feeds(stack, platform)

    _heading("Where to look next")
    _show_hints(stack)


def _refresh_in_stages(platform: Platform) -> None:
    marks = [time.perf_counter()]
    with shown_progress() as progress:
        batch = pipeline.ingest(
            platform.source, platform.lake.ingestion, from_log=platform.from_log, progress=progress
        ).batch
        marks.append(time.perf_counter())
        written = [pipeline.remodel(star, platform.lake, progress) for star in STAR_TABLES]
        marks.append(time.perf_counter())
        loaded = pipeline.load(platform.warehouse, platform.lake, progress)
        marks.append(time.perf_counter())
    rows = (
        batch.rows if batch else 0,
        sum(star.rows for star in written),
        sum(table.staged for batch in loaded for table in batch.tables.values()),
    )
    seconds = [f"{end - start:.2f}" for start, end in pairwise(marks)]
    stages = ("ingest     totesys → ingestion zone", "remodel    → processed zone", "load       → warehouse")
    show_table("", ("stage", "rows", "seconds"), zip(stages, rows, seconds, strict=True))


def _refresh(platform: Platform) -> None:
    started = time.perf_counter()
    refreshed = pipeline.refresh(platform)
    print_labelled("warehouse", f"{summary(refreshed)} {time.perf_counter() - started:.2f} s")


def _take_feeds(stack: LocalStack, platform: Platform) -> None:
    """Fetch made-up rates, drop files as a carrier and the controllers would, load all, and show sales in pounds."""
    FileDrops(stack.database_url("totesys"), stack.landing).drop_history()
    landing = LandingZone(Zone(stack.lake_url("landing"))).settled
    with RatesServer() as rates:
        source, needed = RatesSource.parse(rates.url), rates_needed(platform.warehouse)
        feed_pipeline.fetch_exchange_rates(source, needed, landing, platform.lake.ingestion)
    started = time.perf_counter()
    loaded = {
        name: sum(
            batch.staged
            for batch in feed_pipeline.refresh_feed(feed, landing, platform.lake, platform.warehouse).loaded
        )
        for name, feed in FEEDS.items()
    }
    show_table(
        f"Files of the landing zone, loaded in {time.perf_counter() - started:.2f} s; the rates are made up",
        ("feed", "rows"),
        ((name, f"{rows:,}") for name, rows in loaded.items()),
    )
    with platform.warehouse.database.connect() as connection:
        answer = ask(connection, platform.warehouse.schema, "net_sales", by=["year", "currency"])
    columns = [column.name for column in answer.columns]
    show_table(answer.metric.meaning, columns, ([str(value) for value in row] for row in answer.rows))


def _show_history(platform: Platform, order: int) -> None:
    columns = (record_id_of(fact_sales_order), "sales_staff_id", "last_updated_time", "is_deleted", "batch")
    with platform.warehouse.database.connect() as connection:
        versions = connection.execute(
            sql.SQL("select {columns} from {fact} where sales_order_id = %s order by {record_id}").format(
                columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
                fact=sql.Identifier(platform.warehouse.schema, fact_sales_order.name),
                record_id=sql.Identifier(columns[0]),
            ),
            [order],
        ).fetchall()
    show_table(f"fact_sales_order, sales_order_id {order:,}", columns, versions)


def _heading(text: str) -> None:
    console.print()
    console.print(Rule(Text(text, "bold"), align="left"))


def _show_hints(stack: LocalStack) -> None:
    in_clone = (_PROJECT / "Makefile").exists() and _PROJECT.samefile(Path.cwd())
    totes = totes_command()
    runner = "make" if in_clone else "totes"
    dev, dashboard = (f"{'make' if in_clone else totes} {what}" for what in ("dev", "dashboard"))
    if not in_clone and not totes.startswith("uvx") and missing_for_dashboard():
        dashboard = f"pip install 'totes-dagster[dashboard]' && {dashboard}"
    hints = {
        "Dagster's UI, with a changing source": dev,
        "The dashboard": dashboard,
        "A metric": f"{totes} metric net_sales --by month",
        "The warehouse, by query or in psql": f"{totes} sql",
        f"psql as the owner, while `{runner} dev` runs": stack.server.psql_command("warehouse"),
        "The lake: Parquet, and a manifest per batch": str(stack.home / "lake"),
    }
    if in_clone:
        hints["How it works, and where to change what"] = "docs/architecture.md"
    for what, where in hints.items():
        console.print(f"{what:<46}{where}", soft_wrap=True)


def totes_command() -> str:
    """The command that runs `totes` again, as a shell takes it: the one that ran this process.

    uvx puts a program on the PATH of what it runs only, so there it is uvx again, with the packages of the dashboard.
    """
    if os.environ.get("UV") and any((parent / "CACHEDIR.TAG").exists() for parent in Path(sys.prefix).parents):
        return f"uvx --from {shlex.quote(_requirement())} totes"
    program = Path(sys.argv[0])
    found = shutil.which("totes")
    if program.name != "totes" or (found and Path(found).samefile(program)):
        return "totes"
    here = Path.cwd()
    return shlex.quote(str(program.relative_to(here) if program.is_relative_to(here) else program))


def _requirement() -> str:
    """The requirement that installs this version of the package, with the dashboard, from where it came from."""
    package = distribution("totes-dagster")
    origin = json.loads(package.read_text("direct_url.json") or "{}")
    if not origin:
        return f"totes-dagster[dashboard]=={package.version}"
    control = origin.get("vcs_info")
    url = f"{control['vcs']}+{origin['url']}@{control['commit_id']}" if control else origin["url"]
    return f"totes-dagster[dashboard] @ {url}"
