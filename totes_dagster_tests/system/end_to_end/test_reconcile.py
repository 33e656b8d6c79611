"""Reconciliation from end to end: what came between the source and the warehouse is found and repaired, and no more."""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Table

from totes_dagster.ingest import capture
from totes_dagster.ingest.snapshot import SourceSnapshot, censuses_of, open_snapshot
from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.lake.manifest import Manifest
from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster.pipeline import reconcile
from totes_dagster.schema.dimensions import dim_date
from totes_dagster.schema.registry import DIMENSIONS, FACTS
from totes_dagster.schema.star import natural_key_of, record_id_of
from totes_dagster_tests import oracle
from totes_dagster_tests.system.end_to_end.reconciliation import Original, Reconciliation, found_in
from totes_dagster_tests.world import NEW_DEAL, World, run_totes, start_totes

FACT = pytest.mark.parametrize("fact", FACTS.values(), ids=str)
DIMENSION = pytest.mark.parametrize(
    "dimension", [table for table in DIMENSIONS.values() if table is not dim_date], ids=str
)

EDIT = "update sales_order set units_sold = units_sold + 1 where sales_order_id = {}"

VALUE = {
    "fact_sales_order": "units_sold = -1",
    "fact_purchase_order": "item_code = 'forged'",
    "fact_payment": "payment_amount = -1",
    "dim_location": "phone = ''",
    "dim_counterparty": "counterparty_legal_city = 'Atlantis'",
    "dim_currency": "currency_code = 'XXX'",
    "dim_design": "file_name = 'gone'",
    "dim_payment_type": "payment_type_name = 'BARTER'",
    "dim_staff": "location = 'Atlantis'",
    "dim_transaction": "transaction_type = 'GIFT'",
}
"""For each star table, a value that no row has."""


@pytest.fixture(scope="module")
def original(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Original]:
    original = Original(postgres, tmp_path_factory.mktemp("lakes"))
    yield original
    original.close()


@pytest.fixture
def it(original: Original) -> Iterator[Reconciliation]:
    """A company of which only the warehouse may be changed."""
    with original.copy() as it:
        yield it


# Damage


def every_kind_of_damage(fact: Table) -> tuple[str, ...]:
    """Statements, each about other keys."""
    name, key, record_id = fact.name, natural_key_of(fact), record_id_of(fact)
    columns = ", ".join(column.name for column in fact.columns if column.name not in {record_id, key, "batch"})

    def newest(of: int) -> str:
        return f"{record_id} = (select max({record_id}) from {name} where {key} = {of})"

    def copied(of: int, to: int, batch: int) -> str:
        copy = f"select {to}, {columns}, {batch} from {name} where {newest(of)}"
        return f"insert into {name} ({key}, {columns}, batch) {copy}"

    return (
        f"update {name} set {VALUE[name]} where {newest(3)}",
        f"delete from {name} where {newest(4)}",
        f"delete from {name} where {key} = 5",
        f"update {name} set is_deleted = true where {newest(6)}",
        # Doubled in the batch that brought it, and in another one.
        copied(7, 7, 3),
        copied(8, 8, 1),
        # One is lost and another one doubled in the same batch, so that their number is right.
        f"delete from {name} where {key} = 21",
        copied(22, 22, 1),
        # Rows that never were, of a batch and of none.
        copied(9, 100_000, 2),
        copied(9, -100_000, 77),
        # What is gone from the source lives on.
        f"update {name} set is_deleted = false, {VALUE[name]} where {newest(1)}",
        f"delete from {name} where {newest(2)}",
    )


@FACT
def test_damage_of_every_kind_at_once_is_found_and_repaired(it: Reconciliation, fact: Table) -> None:
    it.damage(*every_kind_of_damage(fact))
    it.take_over(repeats=False)
    done = it.reconcile()
    (found,) = found_in(done).values()
    assert found_in(done).keys() == {fact.name}
    assert found.missing == (5, 6, 21)
    assert found.different == (3, 4)
    assert found.extra == (-100_000, 1, 2, 100_000)
    assert found.repeated == (7, 8, 22)
    assert done.repair is not None
    assert done.repair.rows == 5  # those that the source has
    it.see_that_nothing_is_left()


@DIMENSION
def test_a_dimension_that_somebody_edited_is_repaired(it: Reconciliation, dimension: Table) -> None:
    before, key = oracle.dimension_rows(it.world.warehouse_url), natural_key_of(dimension)
    it.damage(
        f"update {dimension.name} set {VALUE[dimension.name]} where {key} = 1",
        f"delete from {dimension.name} where {key} = 2",
    )
    found = found_in(it.reconcile())
    assert {star: (of.different, of.missing) for star, of in found.items()} == {dimension.name: ((1,), (2,))}
    assert oracle.dimension_rows(it.world.warehouse_url) == before


def test_a_calendar_that_somebody_edited_is_restored_without_a_batch(it: Reconciliation) -> None:
    before, head = oracle.dimension_rows(it.world.warehouse_url), it.world.head()
    ((first, last),) = it.world.ask("select min(date_id), max(date_id) from dim_date")
    it.damage(
        "update dim_date set quarter = 5 where date_id = (select max(created_date) from fact_payment)",
        "delete from dim_date where date_id = (select min(payment_date) from fact_payment)",
        f"delete from dim_date where date_id in ('{first}', '{last}')",
    )
    found = found_in(it.reconcile())
    assert found.keys() == {"dim_date"}
    assert (len(found["dim_date"].different), len(found["dim_date"].missing)) == (1, 3)
    assert oracle.dimension_rows(it.world.warehouse_url) == before
    assert it.world.head() == head
    it.see_that_nothing_is_left()


def test_a_calendar_that_somebody_emptied_is_restored(it: Reconciliation) -> None:
    before = oracle.dimension_rows(it.world.warehouse_url)
    it.damage("delete from dim_date")
    it.reconcile()
    assert oracle.dimension_rows(it.world.warehouse_url) == before
    it.see_that_nothing_is_left()


def test_everything_at_once_is_repaired_by_one_batch(it: Reconciliation) -> None:
    before = oracle.dimension_rows(it.world.warehouse_url)
    it.damage(
        *(statement for fact in FACTS.values() for statement in every_kind_of_damage(fact)),
        *(f"update {name} set {value}" for name, value in VALUE.items() if name in DIMENSIONS),
        "delete from dim_date where day = 13",
    )
    it.take_over(repeats=False)
    done = it.reconcile()
    assert found_in(done).keys() == {*FACTS, *DIMENSIONS}
    assert [batch.batch for batch in done.loaded] == [4]
    assert oracle.dimension_rows(it.world.warehouse_url) == before
    it.see_that_nothing_is_left()


@pytest.mark.slow
@pytest.mark.parametrize("many", [False, True], ids=["few", "many"])
def test_facts_that_somebody_emptied_are_filled_again(
    it: Reconciliation, many: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if many:
        monkeypatch.setattr(capture, "MANY_KEYS", 10)
    it.damage("truncate dim_date, fact_sales_order, fact_purchase_order, fact_payment")
    it.take_over()
    assert found_in(it.reconcile()).keys() >= set(FACTS)
    assert it.world.versions("fact_sales_order", 7) == ["live"]
    it.see_that_nothing_is_left()


# What capture missed


def unseen_changes(snapshot: SourceSnapshot, previous: Manifest) -> Manifest:
    """A batch that claims to have seen the source as it is, and brings nothing."""
    censuses = censuses_of(snapshot)
    entries = {name: entry.model_copy(update={"census": censuses[name]}) for name, entry in previous.tables.items()}
    return previous.model_copy(update={"batch": previous.batch + 1, "snapshot": snapshot.taken, "tables": entries})


def changes_before_the_horizon(snapshot: SourceSnapshot, previous: Manifest) -> Manifest:
    """A batch of which the source must think that all that changed was seen, as a volume put back may make it."""
    return previous.model_copy(update={"batch": previous.batch + 1, "snapshot": snapshot.taken})


@pytest.mark.parametrize("forged", [unseen_changes, changes_before_the_horizon])
def test_what_capture_missed_is_brought_by_a_batch(
    company: World, forged: Callable[[SourceSnapshot, Manifest], Manifest]
) -> None:
    it = Reconciliation(company)
    log = BatchLog(company.platform.lake.ingestion)
    it.change(
        *NEW_DEAL,
        EDIT.format(7),
        "delete from payment where payment_id = 3",
        "update staff set last_name = 'Lovelace' where staff_id = 1",
        "insert into address values (1000, 'a', null, null, 'c', 'p', 'l', 't', now(), now())",
    )
    with open_snapshot(company.platform.source) as snapshot:
        assert log.commit(forged(snapshot, log.manifest(1)))
    company.refresh()
    assert any("current_sales_order lacks" in wrong for wrong in company.wrongs())

    done = reconcile(company.platform)
    found = found_in(done)
    assert found["fact_sales_order"].different == (7,)
    assert found["fact_sales_order"].missing == found["dim_transaction"].missing == (1000,)
    if forged is unseen_changes:
        assert found["fact_payment"].extra == (3,)
        assert found["dim_staff"].different == (1,)
    assert not any(done.left.values())
    assert company.wrongs() == []
    assert company.versions("fact_sales_order", 7) == ["live", "live"]
    assert company.versions("fact_sales_order", 1000) == ["live"]
    assert company.versions("fact_payment", 3) == ["live", "deleted"]
    assert company.ask_one("select count(*) from fact_sales_order") == 62
    head = company.head()
    assert found_in(reconcile(company.platform)) == {}
    it.change(EDIT.format(8))
    company.refresh()
    assert company.wrongs() == []
    assert company.head() == head + 1


# Rows that are set aside


def test_rows_that_are_set_aside_are_neither_differences_nor_in_the_way_of_repairs(company: World) -> None:
    it = Reconciliation(company)
    it.world.change(
        "update sales_order set agreed_payment_date = 'soon' where sales_order_id in (7, 8)",
        "update payment set payment_date = '2023-02-30' where payment_id = 5",
        "delete from sales_order where sales_order_id = 8",
    )
    company.refresh()
    aside = company.quarantined()
    assert aside == [("payment", 5), ("sales_order", 7)]
    assert found_in(reconcile(company.platform)) == {}
    it.damage(
        "update fact_sales_order set units_sold = -1 where sales_order_id in (6, 7, 8)",
        "delete from fact_payment where payment_id in (4, 5)",
    )
    done = reconcile(company.platform)
    found = found_in(done)
    assert (found["fact_sales_order"].different, found["fact_sales_order"].extra) == ((6,), ())
    assert found["fact_payment"].missing == (4,)
    assert not any(done.left.values())
    assert company.quarantined() == aside
    assert company.versions("fact_sales_order", 6) == ["live", "live"]
    assert company.versions("fact_sales_order", 7) == ["live"]
    assert found_in(reconcile(company.platform)) == {}
    it.world.change(
        "update sales_order set agreed_payment_date = '2024-02-29' where sales_order_id = 7",
        "update payment set payment_date = '2024-02-29' where payment_id = 5",
    )
    assert found_in(reconcile(company.platform)) == {}
    assert company.quarantined() == []
    assert company.wrongs() == []
    assert company.versions("fact_sales_order", 7) == ["live", "live"]
    assert company.versions("fact_payment", 5) == ["live"]


# The command


def test_the_command_says_what_it_found_and_what_became_of_it(it: Reconciliation) -> None:
    assert run_totes(it.world.platform, "reconcile").startswith("The warehouse equals the source: ")
    it.damage(
        "update fact_sales_order set units_sold = 8 where sales_order_id = 7 and batch = 3",
        "delete from dim_staff where staff_id = 1",
    )
    printed = run_totes(it.world.platform, "reconcile").splitlines()
    assert printed[0] == "dim_staff: staff_id 1: not in the warehouse"
    assert printed[1].startswith("fact_sales_order: sales_order_id 7: units_sold is 8 in the warehouse, ")
    assert printed[2].startswith("2 of ")
    assert printed[2].endswith(" rows differed, in dim_staff, fact_sales_order; repaired by batch 4.")
    assert it.world.wrongs() == []


@pytest.mark.slow
def test_the_command_fails_where_something_cannot_be_repaired(it: Reconciliation) -> None:
    it.damage(
        "create function forge() returns trigger language plpgsql as 'begin new.units_sold = 8; return new; end'",
        "create trigger forge before insert on fact_sales_order for each row execute function forge()",
        "update fact_sales_order set units_sold = 7 where sales_order_id = 7 and batch = 3",
    )
    with start_totes(it.world.platform, "reconcile") as process:
        printed, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (1, "")
    assert printed.splitlines()[1].endswith(" rows differed, in fact_sales_order; 1 still do.")
