"""The feeds: what each brings, under which contract, and which function computes its fact.

A new feed is a declaration here, a contract in `contracts.py`, a fact in `schema/feeds.py`, a function in `tables.py`,
and a migration.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
from sqlalchemy import Table

from totes_dagster.errors import FeedUnknownError
from totes_dagster.feeds import tables
from totes_dagster.feeds.contracts import ExchangeRate, FeedRow, SalesTarget, Shipment
from totes_dagster.schema.feeds import fact_exchange_rate, fact_sales_target, fact_shipment

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Feed:
    """A feed.

    Attributes:
        name: its name, and that of its folder in the landing zone.
        description: what it brings, in a sentence.
        contract: what each row of its files must look like.
        columns: the columns of the contract as they are stored.
        fact: the fact that it brings.
        function: the pure function that computes the fact's rows from the stored ones, one for one.
        doubts: finds rows that keep the contract and yet cannot be right: by position, why.
        restates: whether each file states anew all that holds, so that one with the bytes of an earlier one may undo
            what came between, and is read.
    """

    name: str
    description: str
    contract: type[FeedRow]
    columns: pa.Schema
    fact: Table
    function: "Callable[[pd.DataFrame], pd.DataFrame]"
    doubts: "Callable[[pd.DataFrame], dict[int, str]]" = tables.no_doubts
    restates: bool = False


EXCHANGE_RATE = Feed(
    "exchange_rate",
    "Euro reference rates of the European Central Bank, as its Data Portal or Frankfurter gives them.",
    ExchangeRate,
    pa.schema(
        [
            pa.field("quote_code", pa.string(), nullable=False),
            pa.field("rate_date", pa.date32(), nullable=False),
            pa.field("rate", pa.decimal128(18, 8), nullable=False),
        ]
    ),
    fact_exchange_rate,
    tables.fact_exchange_rate,
    tables.jumps,
    restates=True,
)

SHIPMENT = Feed(
    "shipment",
    "Deliveries to customers, as the carrier reports them.",
    Shipment,
    pa.schema(
        [
            pa.field("sales_order_id", pa.int32(), nullable=False),
            pa.field("delivered_at", pa.timestamp("us"), nullable=False),
            pa.field("units", pa.int32(), nullable=False),
        ]
    ),
    fact_shipment,
    tables.fact_shipment,
)

SALES_TARGET = Feed(
    "sales_target",
    "What each department is to sell in a month, as the controllers plan it.",
    SalesTarget,
    pa.schema(
        [
            pa.field("month", pa.date32(), nullable=False),
            pa.field("department", pa.string(), nullable=False),
            pa.field("amount_gbp", pa.decimal128(14, 2), nullable=False),
            pa.field("decided_on", pa.date32()),
        ]
    ),
    fact_sales_target,
    tables.fact_sales_target,
)

FEEDS: dict[str, Feed] = {feed.name: feed for feed in (EXCHANGE_RATE, SHIPMENT, SALES_TARGET)}
"""All feeds by name."""


def feed_named(name: str) -> Feed:
    """The feed of this name.

    Raises:
        FeedUnknownError: there is none.
    """
    if name not in FEEDS:
        raise FeedUnknownError(f"There is no feed {name!r}. There are {', '.join(FEEDS)}.")
    return FEEDS[name]
