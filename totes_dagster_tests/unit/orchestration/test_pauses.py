"""How long the sensor waits after refreshes that failed, or that it requested because it could not look itself."""

from datetime import UTC, datetime, timedelta

from totes_dagster.orchestration.pauses import PastRefresh, next_try


def pause(*outcomes: str, every: float = 1) -> float | None:
    """Minutes to wait after the newest of some refreshes, oldest first, that ended a number of minutes apart.

    Each is `failed`, `blind` (requested by a sensor that could not look; it succeeded) or `good`. None for no wait.
    """
    began = datetime(2026, 1, 1, tzinfo=UTC)
    past = [
        PastRefresh(str(number), began + timedelta(minutes=every * number), outcome == "failed", outcome == "blind")
        for number, outcome in enumerate(outcomes)
    ]
    counted = [refresh.ended_at for refresh in past if refresh.failed or refresh.blind]
    until = next_try(past[::-1])
    return (until - counted[-1]).total_seconds() / 60 if counted else None if until < began else 0


def test_every_failure_doubles_the_pause_up_to_a_quarter_of_an_hour() -> None:
    assert [pause(*["failed"] * failures) for failures in range(1, 8)] == [1, 2, 4, 8, 15, 15, 15]


def test_a_success_between_two_failures_does_not_shorten_the_pause() -> None:
    assert pause("failed", "good", "failed", "good", "good", "failed") == 4
    assert pause("failed", "good", "good", "failed", "good") == 2


def test_a_failure_of_more_than_an_hour_ago_does_not_count() -> None:
    assert pause("failed", "good", "failed", every=29) == 2
    assert pause("failed", "good", "failed", every=30) == 1


def test_what_only_the_sensor_meets_doubles_the_pause_though_every_refresh_succeeds() -> None:
    assert [pause(*["blind"] * requests) for requests in range(1, 8)] == [1, 2, 4, 8, 15, 15, 15]
    assert pause("blind", "failed", "good", "blind") == 4


def test_without_a_failure_there_is_no_pause() -> None:
    assert pause() is None
    assert pause("good", "good") is None
