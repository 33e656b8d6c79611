"""Changes of definitions that show other rows, though nobody wrote a row."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from totes_dagster.errors import SourceSchemaError
from totes_dagster.pipeline import reconcile
from totes_dagster.schema.totesys import SOURCE_TABLES
from totes_dagster_tests.system.end_to_end.neighbours.partitioned import NOTHING_REFERS, PARTITIONED
from totes_dagster_tests.world import World

pytestmark = pytest.mark.slow

CHANGES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "a partition that was filled long ago is attached": (
        (
            *PARTITIONED,
            "alter table sales_order detach partition high",
            "create table aside as select * from high",
            "alter table aside alter sales_order_id set not null, alter created_at set not null, "
            "alter last_updated set not null, alter design_id set not null, alter staff_id set not null, "
            "alter counterparty_id set not null, alter units_sold set not null, alter unit_price set not null, "
            "alter currency_id set not null, alter agreed_delivery_date set not null, "
            "alter agreed_payment_date set not null, alter agreed_delivery_location_id set not null, "
            "add primary key (sales_order_id)",
        ),
        ("alter table sales_order attach partition aside for values from (30) to (maxvalue)",),
    ),
    "a partition is replaced by one with the same keys that the same transaction filled": (
        (
            *PARTITIONED,
            "create table twin (like high including all)",
            "insert into twin select * from high",
            "update twin set units_sold = units_sold + 1",
        ),
        (
            "alter table sales_order detach partition high",
            "alter table sales_order attach partition twin for values from (30) to (maxvalue)",
        ),
    ),
    "a partition is detached": (PARTITIONED, ("alter table sales_order detach partition high",)),
    "a table comes to inherit": (
        (
            *NOTHING_REFERS,
            "create table heir as select * from sales_order where false",
            *(
                f"alter table heir alter {column.name} set not null"
                for column in SOURCE_TABLES["sales_order"].columns
                if not column.nullable
            ),
            "insert into heir select 900 + sales_order_id, created_at, last_updated, design_id, staff_id, "
            "counterparty_id, units_sold, unit_price, currency_id, agreed_delivery_date, agreed_payment_date, "
            "agreed_delivery_location_id from sales_order where sales_order_id < 5",
        ),
        ("alter table heir inherit sales_order",),
    ),
    "a column is dropped and added again in the last place": (
        (),
        (
            "alter table sales_order drop column agreed_delivery_location_id",
            "alter table sales_order add agreed_delivery_location_id integer not null default 3 references address",
        ),
    ),
    "a missing value is another one": (
        (
            "alter table staff drop column email_address",
            "alter table staff add email_address text not null default 'a'",
        ),
        (
            "alter table staff drop column email_address",
            "alter table staff add email_address text not null default 'b'",
        ),
    ),
    "a virtual column has another expression": (
        (
            "alter table purchase_order drop column item_quantity",
            "alter table purchase_order add item_quantity integer generated always as (staff_id * 2) virtual",
        ),
        ("alter table purchase_order alter item_quantity set expression as (staff_id * 3)",),
    ),
    "a label of an enum is renamed": ((), ("alter type \"TransactionType\" rename value 'SALE' to 'VENTE'",)),
    "two columns change their names": (
        (),
        (
            "alter table sales_order rename agreed_delivery_date to somewhere",
            "alter table sales_order rename agreed_payment_date to agreed_delivery_date",
            "alter table sales_order rename somewhere to agreed_payment_date",
        ),
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_rows_that_look_otherwise_arrive_though_nobody_wrote_them(company: World, change: str) -> None:
    before, after = CHANGES[change]
    company.change(*before, "update payment set paid = not paid where payment_id = 3")
    company.refresh()
    assert company.wrongs() == []
    company.change(*after)
    company.refresh()
    assert company.wrongs() == []
    assert company.has_arrived()


def test_a_partition_that_leaves_and_comes_back_takes_its_rows_with_it_and_back(company: World) -> None:
    company.change(*PARTITIONED)
    company.refresh()
    company.change("alter table sales_order detach partition low")
    company.refresh()
    assert company.versions("fact_sales_order", 7)[-1] == "deleted"
    company.change("alter table sales_order attach partition low for values from (minvalue) to (30)")
    company.refresh()
    assert company.versions("fact_sales_order", 7)[-1] == "live"
    assert company.wrongs() == []
    assert company.has_arrived()


@pytest.fixture
def reader(company: World) -> Iterator[World]:
    """The world as seen by a user of the source who may read all that is there, and no more."""
    company.change("create role reads login", "grant select on all tables in schema public to reads")
    url = company.source_url.replace("//postgres@", "//reads@")
    yield World(replace(company.platform, source=replace(company.platform.source, url=url)))
    company.change("drop owned by reads", "drop role reads")


@pytest.mark.parametrize("policy", ["sales_order_id > 50", "true"])
def test_rows_that_a_policy_hides_are_not_taken_for_deleted(company: World, reader: World, policy: str) -> None:
    reader.refresh()
    head = company.head()
    company.change(
        "alter table sales_order enable row level security",
        f"create policy visible on sales_order for select using ({policy})",
        "update payment set paid = not paid where payment_id = 3",
    )
    for work in (reader.refresh, lambda: reconcile(reader.platform)):
        with pytest.raises(SourceSchemaError, match=r"sales_order: expected all of its rows, .*BYPASSRLS"):
            work()
    assert company.head() == head
    assert company.versions("fact_sales_order", 7) == ["live"]
    company.change("alter table sales_order disable row level security")
    reader.refresh()
    assert company.wrongs() == []
    assert company.versions("fact_sales_order", 7) == ["live"]


@pytest.mark.parametrize(
    ("statements", "found"),
    [
        (("alter table staff rename to people", "create view staff as table people"), "staff: .* found a view"),
        (
            ("alter table staff rename to people", "create materialized view staff as table people"),
            "staff: .* found a materialized view",
        ),
        (
            (
                *PARTITIONED,
                "alter table sales_order detach partition high",
                "alter table sales_order drop constraint parted_pkey",
                "create foreign data wrapper elsewhere",
                "create server far foreign data wrapper elsewhere",
                "create foreign table away partition of sales_order for values from (30) to (maxvalue) server far",
            ),
            "sales_order: .* foreign table",
        ),
    ],
    ids=["a view", "a materialized view", "a foreign partition"],
)
def test_what_has_no_row_versions_is_refused_by_name(company: World, statements: tuple[str, ...], found: str) -> None:
    company.change(*statements)
    with pytest.raises(SourceSchemaError, match=found):
        company.refresh()


@pytest.mark.parametrize(
    "statements",
    [
        (
            "create domain pieces as integer check (value > 0)",
            "alter table sales_order alter units_sold type pieces",
        ),
        (
            "create domain money_ as numeric(10, 2)",
            "create domain price as money_ not null",
            "alter table sales_order alter unit_price type price",
        ),
    ],
    ids=["a domain", "a domain over a domain"],
)
def test_a_domain_is_as_good_as_the_type_that_it_is_made_of(company: World, statements: tuple[str, ...]) -> None:
    company.change(*statements)
    company.change("update sales_order set units_sold = 77, unit_price = 1.10 where sales_order_id = 7")
    company.refresh()
    assert company.wrongs() == []
    assert company.ask_one("select units_sold from current_sales_order where sales_order_id = 7") == 77
    assert not any(reconcile(company.platform).found.values())
