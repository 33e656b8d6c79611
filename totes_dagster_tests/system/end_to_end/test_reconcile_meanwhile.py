"""Reconciliations that are not alone, or do not come to their end: nothing false is found, and nothing done twice."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from random import Random

import pytest

from totes_dagster.config.settings import RETRY_SECONDS
from totes_dagster.errors import BatchConflictError, DatabaseUnavailableError
from totes_dagster.ingest.run import ATTEMPTS
from totes_dagster.pipeline import ingest, reconcile
from totes_dagster.schema.registry import FACTS, STAR_TABLES
from totes_dagster.simulator.simulator import Action, Simulator
from totes_dagster_tests.system.end_to_end.interruptions import after, cut_connections
from totes_dagster_tests.system.end_to_end.reconciliation import Reconciliation, found_in
from totes_dagster_tests.world import World

pytestmark = pytest.mark.slow

PATIENCE = 90.0  # seconds

FORGED = "update fact_sales_order set units_sold = -1 where sales_order_id = {0}"
_COLUMNS = ", ".join(column.name for column in FACTS["fact_payment"].columns if not column.primary_key)
DOUBLED = f"insert into fact_payment ({_COLUMNS}) select {_COLUMNS} from fact_payment where payment_id = {{}}"

ELSEWHERE = (
    Action.NEW_SALES_ORDER,
    Action.NEW_PURCHASE_ORDER,
    Action.PAYMENT_PAID,
    Action.NEW_STAFF,
    Action.NEW_DESIGN,
)
"""Actions that leave the orders that there are alone."""

POINTS = [
    ("compare", 0),
    ("compare", len(STAR_TABLES) - 1),
    ("ingest", 0),
    ("remodel", 0),
    ("load", 0),
    ("compare", len(STAR_TABLES)),
    ("compare", 2 * len(STAR_TABLES) - 1),
]
"""Moments of a reconciliation that repairs something: it compares every table before, and again after."""


def edit(key: int) -> str:
    return f"update sales_order set units_sold = units_sold + 1 where sales_order_id = {key}"


def die() -> None:
    raise KeyboardInterrupt


# Others at work


def test_in_the_midst_of_life_no_difference_is_found_but_the_one_that_is_there(company: World) -> None:
    it = Reconciliation(company)
    it.damage(FORGED.format(7))
    over = threading.Event()

    def live() -> None:
        rng = Random(1)
        with Simulator(company.source_url, seed=1) as simulator:
            while not over.wait(0.02):
                simulator.perform(rng.choice(ELSEWHERE))

    def follow() -> None:
        while not over.wait(1.0):
            company.refresh()

    found: list[dict[str, tuple[int, ...]]] = []
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(live), pool.submit(follow)]
        give_up_at = time.monotonic() + PATIENCE
        try:
            while len(found) < 3 and time.monotonic() < give_up_at:
                with suppress(BatchConflictError):
                    done = reconcile(company.platform)
                    assert not any(done.left.values()), done.left
                    found.append({star: of.repairable + of.repeated for star, of in found_in(done).items()})
        finally:
            over.set()
        for run in runs:
            run.result(timeout=PATIENCE)
    assert found == [{"fact_sales_order": (7,)}, {}, {}]
    company.refresh()
    assert company.wrongs() == []
    assert company.versions("fact_sales_order", 7) == ["live", "live"]


def test_a_refresh_that_comes_in_between_neither_hides_nor_doubles_a_repair(company: World) -> None:
    it = Reconciliation(company)
    for key, (stage, passes) in enumerate(POINTS, start=10):
        if stage in {"remodel", "load"}:  # it would wait for this load to end; see the next test
            continue
        it.damage(FORGED.format(key))

        def come_in_between(key: int = key) -> None:
            company.change(edit(key + 20), f"delete from payment where payment_id = {key}")
            company.refresh()

        done = reconcile(company.platform, after(stage, passes, come_in_between))
        assert {star: of.different for star, of in found_in(done).items()} == {"fact_sales_order": (key,)}
        assert done.repair is not None
        assert not any(done.left.values())
        assert company.wrongs() == []
        assert company.versions("fact_sales_order", key) == ["live", "live"]
        assert company.versions("fact_sales_order", key + 20) == ["live", "live"]
        assert company.versions("fact_payment", key) == ["live", "deleted"]
    assert found_in(reconcile(company.platform)) == {}


def test_a_batch_that_comes_in_during_the_load_of_a_repair_is_loaded_after_it(company: World) -> None:
    it = Reconciliation(company)
    it.damage(FORGED.format(7))

    def come_in_between() -> None:
        company.change(edit(8))
        ingest(company.platform.source, company.platform.lake.ingestion)

    done = reconcile(company.platform, after("load", 0, come_in_between))
    assert not any(done.left.values())
    assert company.wrongs() == []
    for key in (7, 8):
        assert company.versions("fact_sales_order", key) == ["live", "live"]


def test_when_refreshes_keep_coming_the_reconciliation_gives_up_and_the_next_one_does_it(company: World) -> None:
    it = Reconciliation(company)
    it.damage(FORGED.format(7))
    came = 0

    def keep_coming(stage: str, table: str, _rows: int) -> None:
        nonlocal came
        if (stage, table) == ("compare", "dim_date"):
            came += 1
            company.change(edit(8))
            company.refresh()

    with pytest.raises(BatchConflictError, match=f"{ATTEMPTS} times in a row"):
        reconcile(company.platform, keep_coming)
    assert came == ATTEMPTS
    assert found_in(reconcile(company.platform)).keys() == {"fact_sales_order"}
    assert company.wrongs() == []


def test_two_reconciliations_at_once_repair_it_once(company: World) -> None:
    it = Reconciliation(company)
    it.damage(FORGED.format(7))
    together = threading.Barrier(2, timeout=PATIENCE)

    def run() -> None:
        together.wait()
        reconcile(company.platform)

    with ThreadPoolExecutor(2) as pool:
        for one in [pool.submit(run) for _ in range(2)]:
            one.result(timeout=PATIENCE)
    assert company.wrongs() == []
    assert company.versions("fact_sales_order", 7) == ["live", "live"]


# Dying


@pytest.mark.parametrize("death", ["an exception", "a lost connection"])
def test_wherever_a_reconciliation_dies_the_next_one_completes_it(
    company: World, death: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(RETRY_SECONDS, "0")
    it = Reconciliation(company)
    for number, (stage, passes) in enumerate(POINTS, start=10):
        it.damage(
            FORGED.format(number),
            "update dim_date set day_name = 'Someday' where day = 13",
            DOUBLED.format(number),
        )
        it.take_over(repeats=False)
        if death == "an exception":
            with pytest.raises(KeyboardInterrupt):
                reconcile(company.platform, after(stage, passes, die))
        else:
            with suppress(DatabaseUnavailableError):
                reconcile(company.platform, after(stage, passes, partial(cut_connections, company.platform)))
        it.reconcile()
        assert company.versions("fact_sales_order", number) == ["live", "live"]
        assert company.versions("fact_payment", number) == ["live"]
    it.see_that_nothing_is_left()


def test_a_reconciliation_whose_connections_are_cut_is_begun_anew(company: World) -> None:
    it = Reconciliation(company)
    it.damage(FORGED.format(7))
    done = reconcile(company.platform, after("compare", 3, partial(cut_connections, company.platform)))
    assert found_in(done).keys() == {"fact_sales_order"}
    assert company.wrongs() == []


# Beginnings


def test_the_very_first_run_may_be_a_reconciliation(unseen_company: World) -> None:
    done = reconcile(unseen_company.platform)
    assert ([batch.batch for batch in done.loaded], found_in(done)) == ([1], {})
    assert unseen_company.wrongs(strict=True) == []


def test_a_company_without_any_row_equals_its_warehouse(new_company: World) -> None:
    for _ in range(2):
        assert found_in(reconcile(new_company.platform)) == {}
    assert new_company.wrongs(strict=True) == []
