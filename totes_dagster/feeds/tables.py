"""The pure functions that compute the facts of feeds, one for each.

Each gets the rows of some files, in their order, with the columns of the feed's contract, and `path`, the file that a
row is from; it returns the columns of the fact, row by row.
"""

from collections import defaultdict
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # slow to import, and a look for new files does not need it
    import pandas as pd

LARGEST_JUMP = Decimal("0.2")
"""The most by which a rate may differ from the one before, as a share of that one, before it is doubted."""


def fact_exchange_rate(rates: "pd.DataFrame") -> "pd.DataFrame":
    """A rate as it was published."""
    return rates[["quote_code", "rate_date", "rate"]]


def fact_shipment(shipments: "pd.DataFrame") -> "pd.DataFrame":
    """A delivery, with the day on which it was made, in UTC."""
    return shipments[["sales_order_id", "delivered_at", "units"]].assign(
        delivered_date=shipments["delivered_at"].astype("date32[pyarrow]")
    )


def fact_sales_target(targets: "pd.DataFrame") -> "pd.DataFrame":
    """A target as it was decided."""
    return targets[["month", "department", "amount_gbp", "decided_on"]].rename(
        columns={"department": "department_name"}
    )


def no_doubts(_: "pd.DataFrame") -> dict[int, str]:
    """No row is doubted."""
    return {}


def jumps(rates: "pd.DataFrame") -> dict[int, str]:
    """Rates that jump, unless the next one confirms them: by position, why they are doubted.

    A file has the rates of some days in a row. One is believed if it is within 20 % of the last one that was believed,
    or of the one after it. So a rate that is far off for one day is set aside; one that stays is believed when the next
    day's is there. The first of a file has none before it: it is set aside if the two after it agree on another.
    """
    series = defaultdict[tuple[str, str], list[tuple[date, int, Decimal]]](list)
    columns = (rates[name].tolist() for name in ("path", "quote_code", "rate_date", "rate"))
    for position, (path, quote, day, rate) in enumerate(zip(*columns, strict=True)):
        series[path, quote].append((day, position, rate))
    doubts = {}
    for (_, quote), published in series.items():
        published.sort()
        believed: Decimal | None = None
        for number, (day, position, rate) in enumerate(published):
            after = [later for _, _, later in published[number + 1 : number + 3]]
            if believed is None and _is_outvoted(rate, after):
                other, why = after[0], "which is the rate after it, and the next one confirms that"
            elif believed is not None and not any(_is_close(rate, other) for other in (believed, *after[:1])):
                other, why = believed, "which is the rate before it, and no rate after it confirms it"
            else:
                believed = rate
                continue
            doubts[position] = (
                f"{quote} is {rate.normalize():f} on {day}, more than 20 % off {other.normalize():f}, {why}"
            )
    return doubts


def _is_outvoted(rate: Decimal, after: list[Decimal]) -> bool:
    """Whether the two rates after one are close to each other, and not to it."""
    match after:
        case [second, third]:
            return _is_close(third, second) and not _is_close(rate, second) and not _is_close(rate, third)
    return False


def _is_close(rate: Decimal, other: Decimal) -> bool:
    return abs(rate - other) <= LARGEST_JUMP * other
