"""What one asks of a lake, and how to see what it fails of."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from totes_dagster.errors import TotesError
from totes_dagster.lake.zone import Zone
from totes_dagster_tests.exposure import assert_clear
from totes_dagster_tests.s3_front import Answer, Decide

SECRET_KEY = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
TOKEN = "FwoGZXIvYXdzEBYaDKq/N0t+Sh0wn=="
ROWS = pa.table({"payment_id": pa.array([1], pa.int32())})
ACTIONS: dict[str, Callable[[Zone], Any]] = {
    "create": lambda lake: lake.create("payment/part", b"bytes"),
    "exists": lambda lake: lake.exists("payment/part"),
    "read": lambda lake: lake.read("payment/part"),
    "paths": lambda lake: lake.paths("payment"),
}

Front = Callable[[Decide], Zone]
"""Puts something in front of a bucket, and gives the lake as it is seen from there."""


def failure(lake: Zone, act: Callable[[Zone], Any]) -> TotesError:
    with pytest.raises(TotesError) as raised:
        act(lake)
    return assert_clear(raised.value, SECRET_KEY, TOKEN)


def always(answer: Answer) -> Decide:
    return lambda _request, _pass_on: answer
