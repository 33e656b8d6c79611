"""Reconciliation from end to end: whatever came between the source and the warehouse is found, repaired, and no more."""

from typing import Any

import psycopg
import pytest
from sqlalchemy import Table

from totes_dagster.lake.log import BatchLog
from totes_dagster.schema.warehouse import DIMENSIONS, FACTS, dim_date, natural_key_of
from totes_dagster.stages import capture
from totes_dagster.stages.comparison import TableDifferences
from totes_dagster.stages.progress import Progress
from totes_dagster.stages.reconcile import Reconciled, reconcile
from totes_dagster_tests import oracle
from totes_dagster_tests.end_to_end.chronicle import Chronicle, ExpectedWarehouse
from totes_dagster_tests.end_to_end.world import NEW_DEAL, World

FACT = pytest.mark.parametrize("fact", FACTS.values(), ids=str)
DIMENSION = pytest.mark.parametrize(
    "dimension", [star for star in DIMENSIONS.values() if star is not dim_date], ids=str
)

EDIT = "update sales_order set units_sold = units_sold + 1 where sales_order_id = {}"
PATIENCE = 60.0  # seconds

VALUE = {
    "fact_sales_order": "units_sold = -1",
    "fact_purchase_order": "item_code = 'forged'",
    "fact_payment": "paid = not paid",
    "dim_location": "phone = ''",
    "dim_counterparty": "counterparty_legal_city = 'Atlantis'",
    "dim_currency": "currency_code = 'XXX'",
    "dim_design": "file_name = 'gone'",
    "dim_payment_type": "payment_type_name = 'BARTER'",
    "dim_staff": "location = 'Atlantis'",
    "dim_transaction": "transaction_type = 'GIFT'",
}
"""For each star table, a value that no row has."""


class Reconciliation:
    """A company, what its source said, and a warehouse that somebody else has access to, too."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.chronicle = Chronicle(world.source_url)
        self.expected = ExpectedWarehouse()

    def change(self, *statements: str) -> None:
        """Change the source."""
        self.world.change(*statements)
        self.chronicle.note()

    def damage(self, *statements: str) -> None:
        """Change the warehouse by hand, as only somebody can whom no foreign key stops; not noticed by this."""
        with psycopg.connect(self.world.warehouse_url) as connection:
            connection.execute("set local session_replication_role = replica")
            for statement in statements:
                assert connection.execute(statement).rowcount != 0, statement

    def take_over(self, *, remembers: bool = True) -> None:
        """Expect from now on what the warehouse holds now.

        Args:
            remembers: whether versions that repeat the one before them are expected to stay.
        """
        self._load()
        self.expected.versions = oracle.history(self.world.warehouse_url)
        if not remembers:
            for versions in self.expected.versions.values():
                for key, rows in versions.items():
                    before = [None, *(row[:-1] for row in rows)]
                    versions[key] = [row for row, last in zip(rows, before, strict=False) if row[:-1] != last]

    def reconcile(self, progress: Progress | None = None) -> Reconciled:
        """Reconcile; afterwards nothing may be wrong, and the history must be what the batches made of it."""
        platform = self.world.platform
        done = reconcile(platform, progress) if progress else reconcile(platform)
        assert not any(done.left.values()), done.left
        assert self.wrongs() == []
        return done

    def wrongs(self) -> list[str]:
        self._load()
        return [*self.expected.wrongs(self.world), *self.world.wrongs()]

    def _load(self) -> None:
        log = BatchLog(self.world.platform.ingestion)
        self.expected.load_up_to(self.world.ask_one("select max(batch) from load_history"), log, self.chronicle)


def found_in(done: Reconciled) -> dict[str, TableDifferences]:
    """What was found, by the tables in which anything was."""
    return {star: differences for star, differences in done.found.items() if differences}


def places(world: World) -> dict[str, Any]:
    """Where every row of the warehouse lies, and who wrote it."""
    tables = (*oracle.DIMENSIONS, *oracle.FACTS, "load_history", "quarantine")
    return {table: world.ask(f"select ctid::text, xmin::text from {table} order by ctid") for table in tables}


@pytest.fixture
def company_of_three_batches(company: World) -> Reconciliation:
    """A company whose warehouse has seen rows change, come and go."""
    it = Reconciliation(company)
    for number in (1, 2):
        it.change(
            f"update sales_order set units_sold = units_sold + {number} where sales_order_id < 20",
            f"update purchase_order set item_quantity = item_quantity + {number} where purchase_order_id < 20",
            f"update payment set payment_amount = payment_amount + {number} where payment_id < 20",
            f"delete from sales_order where sales_order_id = {number}",
            f"delete from purchase_order where purchase_order_id = {number}",
            f"delete from payment where payment_id = {number}",
            *(NEW_DEAL if number == 1 else ()),
        )
        company.refresh()
    assert it.wrongs() == []
    return it


# Damage


def every_kind_of_damage(fact: Table) -> tuple[str, ...]:
    """Statements, each about other keys: see `test_damage_of_every_kind_at_once_is_found_and_repaired`."""
    name, key = fact.name, natural_key_of(fact)
    record_id = f"{name.removeprefix('fact_').removesuffix('_order')}_record_id"
    columns = ", ".join(column.name for column in fact.columns if column.name not in {record_id, key, "batch"})
    newest = f"(select max({record_id}) from {name} where {key} = {{}})"
    copy = f"insert into {name} ({key}, {columns}, batch) select {{}}, {columns}, {{}} from {name} where {record_id} = {newest}"
    return (
        f"update {name} set {VALUE[name]} where {record_id} = {newest.format(3)}",
        f"delete from {name} where {record_id} = {newest.format(4)}",
        f"delete from {name} where {key} = 5",
        f"update {name} set is_deleted = true where {record_id} = {newest.format(6)}",
        # Doubled in the batch that brought it, and in another one.
        copy.format(7, 3, 7),
        copy.format(8, 1, 8),
        # One is lost and another one doubled in the same batch, so that their number is right.
        f"delete from {name} where {key} = 21",
        copy.format(22, 1, 22),
        # Rows that never were, of a batch and of none.
        copy.format(100_000, 2, 9),
        copy.format(-100_000, 77, 9),
        # What is gone from the source lives on.
        f"update {name} set is_deleted = false, {VALUE[name]} where {record_id} = {newest.format(1)}",
        f"delete from {name} where {record_id} = {newest.format(2)}",
    )


@FACT
def test_damage_of_every_kind_at_once_is_found_and_repaired(
    company_of_three_batches: Reconciliation, fact: Table
) -> None:
    it = company_of_three_batches
    it.damage(*every_kind_of_damage(fact))
    it.take_over(remembers=False)
    done = it.reconcile()
    (found,) = found_in(done).values()
    assert found_in(done).keys() == {fact.name}
    assert found.missing == (5, 6, 21)
    assert found.different == (3, 4)
    assert found.extra == (-100_000, 1, 2, 100_000)
    assert found.doubled == (7, 8, 22)
    assert done.repair is not None
    assert done.repair.batch == 4
    assert done.repair.tables[f"{fact.name.removeprefix('fact_')}"].rows == 5
    # A second one finds nothing, and does nothing.
    before = places(it.world)
    assert not found_in(it.reconcile())
    assert places(it.world) == before
    assert it.world.head() == 4


@DIMENSION
def test_a_dimension_that_somebody_edited_is_repaired(
    company_of_three_batches: Reconciliation, dimension: Table
) -> None:
    it, key = company_of_three_batches, natural_key_of(dimension)
    before = oracle.dimension_rows(it.world.warehouse_url)
    it.damage(
        f"update {dimension.name} set {VALUE[dimension.name]} where {key} = 1",
        f"delete from {dimension.name} where {key} = 2",
    )
    done = it.reconcile()
    assert {star: (found.different, found.missing) for star, found in found_in(done).items()} == {
        dimension.name: ((1,), (2,))
    }
    assert oracle.dimension_rows(it.world.warehouse_url) == before
    assert not found_in(it.reconcile())
    assert it.world.head() == 4


def test_a_calendar_that_somebody_edited_is_restored(company: World) -> None:
    it = Reconciliation(company)
    before = oracle.dimension_rows(company.warehouse_url)
    ((first, last),) = company.ask("select min(date_id), max(date_id) from dim_date")
    it.damage(
        "update dim_date set day_name = 'Someday', quarter = 5 where date_id in (select max(created_date) from fact_payment)",
        "delete from dim_date where date_id in (select min(payment_date) from fact_payment)",
        f"delete from dim_date where date_id in ('{first}', '{last}')",
    )
    done = it.reconcile()
    assert found_in(done).keys() == {"dim_date"}
    assert (len(done.found["dim_date"].different), len(done.found["dim_date"].missing)) == (1, 3)
    assert done.repair is None
    assert oracle.dimension_rows(company.warehouse_url) == before
    assert not found_in(it.reconcile())


def test_everything_at_once_is_repaired_at_once(company_of_three_batches: Reconciliation) -> None:
    it = company_of_three_batches
    before = oracle.dimension_rows(it.world.warehouse_url)
    it.damage(
        *(statement for fact in FACTS.values() for statement in every_kind_of_damage(fact)),
        *(f"update {name} set {value}" for name, value in VALUE.items() if name in DIMENSIONS),
        "delete from dim_date where day = 13",
    )
    it.take_over(remembers=False)
    done = it.reconcile()
    assert found_in(done).keys() == {*FACTS, *DIMENSIONS}
    assert [batch.batch for batch in done.loaded] == [4]
    assert oracle.dimension_rows(it.world.warehouse_url) == before
    assert not found_in(it.reconcile())


@pytest.mark.parametrize("many", [False, True], ids=["few", "many"])
def test_facts_that_somebody_emptied_are_filled_again(
    company_of_three_batches: Reconciliation, many: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = company_of_three_batches
    if many:
        monkeypatch.setattr(capture, "_MANY_KEYS", 10)
    it.damage("truncate dim_date, fact_sales_order, fact_purchase_order, fact_payment")
    it.take_over()
    assert found_in(it.reconcile()).keys() >= set(FACTS)
    assert it.world.versions("fact_sales_order", 7) == ["live"]
    assert not found_in(it.reconcile())
