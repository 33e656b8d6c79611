"""For how long a provider asks to wait."""

from datetime import UTC, datetime

import pytest

from totes_dagster.feeds.rates_http import LONGEST_WAIT, retry_after

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0),
        (" 120 ", 120),
        ("9" * 400, LONGEST_WAIT),
        ("Mon, 05 Jan 2026 12:01:30 GMT", 90),
        ("Mon, 05 Jan 2026 11:00:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_WAIT),
        ("Mon, 05 Jan 2026 13:00:00 +0000", 3600),
        ("-1", None),
        ("1.5", None),
        ("¹", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_a_server_asks_to_wait_for_seconds_or_until_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, NOW) == seconds
