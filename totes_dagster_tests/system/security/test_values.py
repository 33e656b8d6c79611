"""Values are values, whatever they look like: they arrive as they are, and nothing takes them for SQL or for markup."""

import psycopg
import pytest
from dagster import DagsterInstance, TableMetadataValue
from psycopg import sql
from psycopg.rows import dict_row
from sqlalchemy import Text

from totes_dagster.cli.output import show_reconciled, show_status
from totes_dagster.definitions import build_defs
from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.pipeline import reconcile
from totes_dagster.schema import totesys
from totes_dagster.status import platform_status
from totes_dagster_tests import oracle
from totes_dagster_tests.resources import resources_of
from totes_dagster_tests.system.end_to_end.conftest import company, enforced, platform, unseen_company
from totes_dagster_tests.world import World

__all__ = ["company", "enforced", "platform", "unseen_company"]

VALUES = (
    "[/bold] [red]",
    "\x1b[2J\x07",
    "O'Keefe",
    "'; drop table dim_staff; --",
    "%s",
    "%(x)s %",
    "$1",
    "$$ $x$",
    "\\",
    "\\N",
    "\\'; --",
    "{} {0} {x}",
    '"',
    "a\nb\r\tc",
    "ü € 😀 \u202e",
    "${HOME} `id`",
    "null",
    "",
)
CODES = ("'--", "%s", "$1", "\\'", "{}", '"', "\n", "[/]", "ü€😀", "")
"""Short ones, for a column of three characters."""

DATES = {
    "sales_order": ("agreed_payment_date", "agreed_delivery_date"),
    "purchase_order": ("agreed_payment_date", "agreed_delivery_date"),
    "payment": ("payment_date",),
}
"""Dates that the source keeps as text."""

TEXTS = {
    name: columns
    for name, table in totesys.SOURCE_TABLES.items()
    if (
        columns := [
            each.name for each in table.columns if isinstance(each.type, Text) and each.name not in DATES.get(name, ())
        ]
    )
}
"""All other columns of text, by table."""


def insert(connection: psycopg.Connection, name: str, number: int, **changed: str) -> None:
    """Insert a copy of a table's first row under the key 1000 + number, with some other values."""
    key, table = totesys.key_of(totesys.SOURCE_TABLES[name]), sql.Identifier(name)
    first = sql.SQL("select * from {} order by {} limit 1").format(table, sql.Identifier(key))
    row = connection.cursor(row_factory=dict_row).execute(first).fetchone()
    assert row is not None
    row |= {key: 1000 + number, **changed}
    statement = sql.SQL("insert into {} ({}) values ({})").format(
        table, sql.SQL(", ").join(map(sql.Identifier, row)), sql.SQL(", ").join([sql.Placeholder()] * len(row))
    )
    connection.execute(statement, list(row.values()))


def texts(name: str, number: int, shift: int) -> dict[str, str]:
    """One value for each column of `TEXTS`; over all numbers, every column gets every value."""
    return {column: VALUES[(number + place + shift) % len(VALUES)] for place, column in enumerate(TEXTS[name])}


def in_the_lake(world: World, name: str) -> dict[int, dict[str, str]]:
    """The texts of the rows that a batch captured last, by key."""
    lake, key = world.platform.lake.ingestion, totesys.key_of(totesys.SOURCE_TABLES[name])
    entry = BatchLog(lake).manifest(world.head()).tables[name]
    rows = [row for part in entry.parts for row in lake.read_part(part.path).to_pylist()]
    return {row[key]: {column: row[column] for column in TEXTS[name]} for row in rows}


def assert_arrived(world: World, shift: int) -> None:
    for name in TEXTS:
        captured = in_the_lake(world, name)
        for number in range(len(VALUES)):
            assert captured[1000 + number] == texts(name, number, shift)
    assert oracle.differences(world.source_url, world.warehouse_url) == []


def test_values_arrive_as_they_are(company: World, capsys: pytest.CaptureFixture[str]) -> None:
    with psycopg.connect(company.source_url) as connection:
        for name in TEXTS:
            for number in range(len(VALUES)):
                insert(connection, name, number, **texts(name, number, 0))
    company.refresh()
    assert_arrived(company, 0)

    with psycopg.connect(company.source_url) as connection:
        for name in TEXTS:
            key = sql.Identifier(totesys.key_of(totesys.SOURCE_TABLES[name]))
            for number in range(len(VALUES)):
                changes = [
                    sql.SQL("{} = {}").format(sql.Identifier(column), sql.Literal(value))
                    for column, value in texts(name, number, 1).items()
                ]
                connection.execute(
                    sql.SQL("update {} set {} where {} = {}").format(
                        sql.Identifier(name), sql.SQL(", ").join(changes), key, sql.Literal(1000 + number)
                    )
                )
    company.refresh()
    assert_arrived(company, 1)

    with psycopg.connect(company.warehouse_url) as connection:
        for number, value in enumerate(VALUES):
            connection.execute("update dim_staff set last_name = %s where staff_id = %s", [value, 1000 + number])
            connection.execute(
                "update fact_purchase_order set item_code = %s where purchase_order_id = %s", [value, 1000 + number]
            )
    reconciled = reconcile(company.platform)
    assert not any(reconciled.left.values())
    assert_arrived(company, 1)
    show_reconciled(reconciled)
    shown = capsys.readouterr().out
    assert "[/bold] [red]" in shown
    assert "\x1b" not in shown


def test_labels_and_short_codes_arrive_as_they_are(company: World) -> None:
    labels = [value for value in VALUES if value]
    with psycopg.connect(company.source_url, autocommit=True) as connection:
        for label in labels:
            connection.execute(sql.SQL('alter type "PaymentTypeName" add value {}').format(sql.Literal(label)))
        for number, label in enumerate(labels):
            insert(connection, "payment_type", number, payment_type_name=label)
        for number, code in enumerate(CODES):
            insert(connection, "currency", number, currency_code=code)
    company.refresh()
    by_key = "select {0}_name from dim_{0} where {0}_id >= 1000 order by {0}_id"
    assert company.ask(by_key.format("payment_type")) == [(label,) for label in labels]
    codes = company.ask("select currency_code, currency_name from dim_currency where currency_id >= 1000 order by 1")
    assert codes == sorted((code, code) for code in CODES)


def test_values_that_cannot_be_loaded_are_told_as_they_are(company: World, capsys: pytest.CaptureFixture[str]) -> None:
    values = [value for value in VALUES if value]
    with psycopg.connect(company.source_url) as connection:
        for name, columns in DATES.items():
            key = totesys.key_of(totesys.SOURCE_TABLES[name])
            for number, value in enumerate(values, start=1):
                for column in columns:
                    connection.execute(f"update {name} set {column} = %s where {key} = %s", [value, number])
    platform = company.platform
    definitions = build_defs(resources_of(platform))
    with DagsterInstance.ephemeral() as instance:
        result = definitions.resolve_job_def("refresh").execute_in_process(instance=instance)
    told = {
        (source, key): reason
        for source, key, reason in company.ask("select source_table, source_key, reason from quarantine")
    }
    for name, columns in DATES.items():
        for number, value in enumerate(values, start=1):
            for column in columns:
                assert f"{name}.{column} is {value!r}" in told[name, number]
    ((part,),) = company.ask("select distinct part from quarantine where source_table = 'payment'")
    aside = platform.lake.processed.read_part(part)
    assert aside.sort_by("payment_id").column("payment_date").to_pylist() == values
    samples = [
        record.data["reason"]
        for evaluation in result.get_asset_check_evaluations()
        if isinstance(sample := evaluation.metadata.get("sample"), TableMetadataValue)
        for record in sample.records
    ]
    assert len(samples) == 15
    assert set(samples) <= set(told.values())
    show_status(platform_status(platform))
    assert f"{len(values)} of payment" in " ".join(capsys.readouterr().out.split())
