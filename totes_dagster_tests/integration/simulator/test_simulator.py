"""The life of the simulated company: everyday, harsh, in the morning, and while the source fails."""

# ruff: noqa: DTZ001 - the source's stamps are UTC without a zone

import threading
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from totes_dagster.errors import DatabaseError
from totes_dagster.simulator.seeding import create_schema, seed
from totes_dagster.simulator.simulator import Action, Event, NothingToActOnError, Simulator
from totes_dagster_tests.integration.simulator.company import FRIDAY, UNENFORCED, Clock, company_at, due_on
from totes_dagster_tests.source import RULES, RULES_OF_EVERY_DAY, Database, broken, contents, fetch

EVERYDAY = {
    Action.NEW_SALES_ORDER,
    Action.NEW_PURCHASE_ORDER,
    Action.NEW_DESIGN,
    Action.ORDER_EDITED_SILENTLY,
    Action.DESIGN_EDITED_SILENTLY,
    Action.PAYMENT_RUN,
}
SUNDAY = datetime(2026, 11, 1)


def test_an_everyday_life_is_what_the_real_company_was_seen_to_do(database: Database) -> None:
    with company_at(database, FRIDAY) as (url, simulator, _):
        events = [simulator.step() for _ in range(300)]
        assert {event.action for event in events} == EVERYDAY
        assert broken(url, RULES | RULES_OF_EVERY_DAY) == {}


@pytest.mark.parametrize("enforced", [True, False])
def test_the_company_is_whole_after_a_harsh_life(database: Database, enforced: bool) -> None:
    url = database("totesys")
    seed(url, orders=60, until=FRIDAY, enforced=enforced)
    with Simulator(url, seed=5, harsh=True, clock=Clock(FRIDAY)) as simulator:
        events = [simulator.step() for _ in range(400)]
    assert broken(url, RULES) == {}
    seen = {event.action for event in events}
    assert len(seen) > 15
    assert bool(seen & UNENFORCED) is not enforced
    assert (Action.ORDER_DELETED_ALONE in seen) is enforced
    business = sum(event.action in {Action.NEW_SALES_ORDER, Action.NEW_PURCHASE_ORDER} for event in events)
    assert business > 100


@pytest.mark.parametrize("harsh", [False, True])
def test_a_life_repeats_itself_from_the_same_seed(database: Database, harsh: bool) -> None:
    lives: list[list[Event]] = []
    for number in (3, 3, 4):
        url = database("totesys")
        seed(url, orders=60, until=FRIDAY)
        with Simulator(url, seed=number, harsh=harsh, clock=Clock(FRIDAY)) as simulator:
            lives.append([simulator.step() for _ in range(100)])
    assert lives[0] == lives[1] != lives[2]


# The morning's payments


def test_the_first_thing_that_happens_in_the_morning_is_that_what_is_due_is_paid(database: Database) -> None:
    with company_at(database, FRIDAY) as (url, simulator, clock):
        due = due_on(url, FRIDAY)
        assert len(due) > 3
        clock.moment = FRIDAY + timedelta(hours=7, minutes=55, seconds=10)
        early = [simulator.step() for _ in range(3)]
        assert Action.PAYMENT_RUN not in {event.action for event in early}
        clock.moment = FRIDAY + timedelta(hours=7, minutes=55, seconds=11)
        event = simulator.step()
        assert event.action is Action.PAYMENT_RUN
        assert due <= set(event.ids["payment"])
        assert due_on(url, FRIDAY) == set()
        rows = contents(url)["payment"]
        assert len({rows[key]["last_updated"] for key in event.ids["payment"]}) == 1
        assert simulator.step().action is not Action.PAYMENT_RUN


def test_a_simulator_that_starts_later_in_the_day_catches_up_with_the_morning(database: Database) -> None:
    with company_at(database, FRIDAY) as (url, simulator, clock):
        clock.moment = FRIDAY + timedelta(hours=15)
        assert simulator.step().action is Action.PAYMENT_RUN
        assert due_on(url, FRIDAY) == set()


def test_where_the_morning_was_part_of_the_history_it_does_not_come_again(database: Database) -> None:
    with company_at(database, FRIDAY + timedelta(hours=7, minutes=56)) as (_, simulator, _):
        assert simulator.step().action is not Action.PAYMENT_RUN


def test_at_midnight_on_a_sunday_there_is_something_to_see_too(database: Database) -> None:
    with company_at(database, SUNDAY) as (url, simulator, _):
        assert due_on(url, SUNDAY)
        assert simulator.step().action is not Action.PAYMENT_RUN
        assert {simulator.step().action for _ in range(300)} == EVERYDAY
        assert broken(url, RULES | RULES_OF_EVERY_DAY) == {}


# A source that is not as it should be


def test_an_empty_source_is_said_to_be_empty(database: Database) -> None:
    url = database("totesys")
    create_schema(url)
    with Simulator(url) as simulator, pytest.raises(NothingToActOnError, match="no counterparty"):
        simulator.perform(Action.NEW_SALES_ORDER)


def test_a_source_that_is_not_there_or_not_seeded_is_named_without_its_password(database: Database) -> None:
    with pytest.raises(DatabaseError, match=r"at 127\.0\.0\.1 cannot be simulated") as raised:
        Simulator("postgresql://somebody:opensesame@127.0.0.1:1/totesys")
    assert "opensesame" not in str(raised.value)
    with pytest.raises(DatabaseError, match="does not exist"):
        Simulator(database("totesys"))


class ImpatientEvent(threading.Event):
    """An event that nobody waits for; how long they would have is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0)
        return self.is_set()


def test_a_run_pauses_at_random_and_keeps_its_rate_on_average(simulator: Simulator) -> None:
    stop = ImpatientEvent()

    def end_after(event: Event) -> None:
        if len(stop.waits) == 300:
            stop.set()

    simulator.run(0.1, stop, end_after)
    # Nobody has waited, so that each wait is the time from the first change to the next one.
    pauses = [after - before for before, after in pairwise([0.0, *stop.waits])]
    assert 8 < sum(pauses) / len(pauses) < 12
    assert sum(pause < 3 for pause in pauses) > 30
    assert sum(pause > 20 for pause in pauses) > 15


def test_a_run_survives_the_loss_of_its_connections(
    database: Database, source: str, simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    stop = threading.Event()
    events: list[Event] = []

    def interfere(event: Event) -> None:
        events.append(event)
        if len(events) == 10:
            fetch(
                source,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )
        if len(events) == 40:
            stop.set()

    simulator.perform(Action.TRANSACTION_OPENED)
    caplog.set_level("INFO")
    simulator.run(1000, stop, interfere)
    simulator.close()
    assert len(events) == 40
    assert "is unavailable" in caplog.text
    assert "is available again" in caplog.text
    assert broken(source, RULES) == {}
