"""What the warehouse holds of each feed. Reads only."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import psycopg
from psycopg import sql

from totes_dagster.config.platform import Warehouse
from totes_dagster.feeds.declared import EXCHANGE_RATE, FEEDS, SHIPMENT, Feed
from totes_dagster.postgres.transactions import REPEATABLE_READ
from totes_dagster.schema.bookkeeping import feed_file, feed_history, feed_quarantine
from totes_dagster.schema.registry import CALENDAR, DIMENSIONS

_SAMPLE = 5


@dataclass(frozen=True)
class FeedStatus:
    """What the warehouse holds of a feed.

    Attributes:
        batch: the newest loaded batch; 0 before the first.
        taken_at: when its files were read; None before the first.
        files: how many files were taken, each in its newest version.
        refused: how many of them were refused.
        refused_sample: the first few of those: path and reason.
        rows: how many versions the fact has.
        quarantined: how many rows are in quarantine.
        quarantined_sample: the first few of those: path, line and reason.
    """

    batch: int
    taken_at: datetime | None
    files: int
    refused: int
    refused_sample: tuple[tuple[str, str], ...]
    rows: int
    quarantined: int
    quarantined_sample: tuple[tuple[str, int, str], ...]


def feed_statuses(warehouse: Warehouse) -> dict[str, FeedStatus]:
    """Look up what the warehouse, which must have been migrated, holds of all feeds, in one snapshot."""
    with warehouse.database.transaction(isolation=REPEATABLE_READ, read_only=True) as connection:
        return {name: _status(connection, warehouse.schema, feed) for name, feed in FEEDS.items()}


def feed_status(feed: Feed, warehouse: Warehouse) -> FeedStatus:
    """Look up what the warehouse, which must have been migrated, holds of a feed, in one snapshot."""
    with warehouse.database.transaction(isolation=REPEATABLE_READ, read_only=True) as connection:
        return _status(connection, warehouse.schema, feed)


def _status(connection: psycopg.Connection[Any], schema: str, feed: Feed) -> FeedStatus:
    name, sample = sql.Literal(feed.name), sql.Literal(_SAMPLE)
    files, quarantine = (sql.Identifier(schema, table.name) for table in (feed_file, feed_quarantine))
    ((batch, taken_at, taken, refused, rows, quarantined),) = connection.execute(
        sql.SQL(
            """
            select batch, taken_at, (select count(*) from {files} where feed = {feed}),
                   (select count(refused) from {files} where feed = {feed}), (select count(*) from {fact}),
                   (select count(*) from {quarantine} where feed = {feed})
            from (select) as always left join (
                select batch, taken_at from {history} where feed = {feed} order by batch desc limit 1) as newest on true
            """
        ).format(
            feed=name,
            files=files,
            quarantine=quarantine,
            history=sql.Identifier(schema, feed_history.name),
            fact=sql.Identifier(schema, feed.fact.name),
        )
    ).fetchall()
    refused_sample = connection.execute(
        sql.SQL(
            "select path, refused from {} where feed = {} and refused is not null order by batch desc, path limit {}"
        ).format(files, name, sample)
    ).fetchall()
    quarantined_sample = connection.execute(
        sql.SQL("select path, line, reason from {} where feed = {} order by batch desc, path, line limit {}").format(
            quarantine, name, sample
        )
    ).fetchall()
    return FeedStatus(
        batch or 0, taken_at, taken, refused, tuple(refused_sample), rows, quarantined, tuple(quarantined_sample)
    )


@dataclass(frozen=True)
class RatesNeeded:
    """Which exchange rates the warehouse needs.

    Attributes:
        currencies: the ISO 4217 codes of the currencies that it has, without the euro, in order.
        first_day: the first day of its calendar; None if it has none yet.
        newest_rate: the newest day for which it has a rate; None if it has none.
    """

    currencies: tuple[str, ...]
    first_day: date | None
    newest_rate: date | None


def rates_needed(warehouse: Warehouse) -> RatesNeeded:
    """Look up which exchange rates the warehouse, which must have been migrated, needs."""
    with warehouse.database.transaction(read_only=True) as connection:
        ((currencies, first_day, newest_rate),) = connection.execute(
            sql.SQL(
                """
                select (select coalesce(array_agg(distinct currency_code order by currency_code), '{{}}')
                        from {} where currency_code ~ '^[A-Z]{{3}}$' and currency_code <> 'EUR'),
                       (select min(date_id) from {}), (select max(rate_date) from {})
                """
            ).format(
                *(
                    sql.Identifier(warehouse.schema, table.name)
                    for table in (DIMENSIONS["dim_currency"], CALENDAR, EXCHANGE_RATE.fact)
                )
            )
        ).fetchall()
    return RatesNeeded(tuple(currencies), first_day, newest_rate)


def orders_without_sale(warehouse: Warehouse) -> tuple[int, ...]:
    """The first few sales orders that shipments speak of, and that the warehouse does not have."""
    statement = sql.SQL(
        "select distinct sales_order_id from {} as shipment where not exists "
        "(select from {} as sale where sale.sales_order_id = shipment.sales_order_id) order by 1 limit {}"
    ).format(
        sql.Identifier(warehouse.schema, SHIPMENT.fact.name),
        sql.Identifier(warehouse.schema, "fact_sales_order"),
        sql.Literal(_SAMPLE),
    )
    with warehouse.database.transaction(read_only=True) as connection:
        return tuple(key for (key,) in connection.execute(statement))
