"""Made-up exchange rates of the euro, on the days on which the European Central Bank publishes its own.

Everything depends only on a seed, a currency and a day. How rates are served is in `rates_server`.
"""

import math
import threading
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from random import Random
from zoneinfo import ZoneInfo

from totes_dagster.simulator import vocabulary

FIRST_DAY = date(1999, 1, 4)
"""The first day with rates, as of the real ones."""

PUBLISHED_AT = time(16, 0, tzinfo=ZoneInfo("Europe/Berlin"))
"""When the rates of a day are published, in Frankfurt."""

LEVELS = {
    "AUD": 1.65,
    "CAD": 1.48,
    "CHF": 0.95,
    "DKK": 7.46,
    "GBP": 0.85,
    "JPY": 160.0,
    "NOK": 11.5,
    "PLN": 4.3,
    "SEK": 11.3,
    "USD": 1.1,
}
"""The currencies that have rates, and the level around which each moves, in units for one euro."""

_SATURDAY = 5  # of a week that starts with 0
_DAILY_CHANGE, _PULL = 0.004, 0.006  # of logarithms: a rate stays within about 10 percent of its level
_DECIMALS = Decimal("0.0001")


@dataclass(frozen=True)
class Quote:
    """A published rate.

    Attributes:
        code: ISO 4217 code of the currency.
        day: the day that the rate is for.
        rate: units of the currency for one euro; None for a day that is listed without a rate.
    """

    code: str
    day: date
    rate: Decimal | None


class EuroRates:
    """A random walk for each currency, one step for each working day since 4 January 1999.

    Args:
        seed: seed of all random choices.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._walks: dict[str, _Walk] = {}
        self._one_at_a_time = threading.Lock()

    def rate(self, code: str, day: date) -> Decimal | None:
        """Units of a currency for one euro, with four decimals; None if the currency has no rate on that day."""
        if code not in LEVELS or not is_working_day(day) or day < FIRST_DAY:
            return None
        with self._one_at_a_time:
            walk = self._walks.setdefault(code, _Walk(vocabulary.generator(self._seed, f"rate of {code}")))
            return Decimal(LEVELS[code] * math.exp(walk.at(day))).quantize(_DECIMALS)


class _Walk:
    """How far a rate is from its level on each working day, as a logarithm."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._distances: dict[date, float] = {}
        self._reached, self._distance = FIRST_DAY - timedelta(days=1), 0.0

    def at(self, day: date) -> float:
        while self._reached < day:
            self._reached += timedelta(days=1)
            if is_working_day(self._reached):
                self._distance += self._rng.gauss(0, _DAILY_CHANGE) - _PULL * self._distance
                self._distances[self._reached] = self._distance
        return self._distances[day]


def is_working_day(day: date) -> bool:
    """Whether rates are published on a day: not on weekends, nor on closing days of the payment system TARGET."""
    return day.weekday() < _SATURDAY and day not in closing_days(day.year)


@lru_cache(maxsize=256)
def closing_days(year: int) -> frozenset[date]:
    """TARGET's closing days of a year: New Year, Good Friday, Easter Monday, 1 May, 25 and 26 December."""
    easter = easter_sunday(year)
    fixed = (date(year, 1, 1), date(year, 5, 1), date(year, 12, 25), date(year, 12, 26))
    return frozenset((*fixed, easter - timedelta(days=2), easter + timedelta(days=1)))


def easter_sunday(year: int) -> date:
    """Easter Sunday of the Gregorian calendar, by the algorithm of Meeus, Jones and Butcher."""
    golden = year % 19
    century, of_century = divmod(year, 100)
    leaps, leap_remainder = divmod(century, 4)
    correction = (century - (century + 8) // 25 + 1) // 3
    epact = (19 * golden + century - leaps - correction + 15) % 30
    quarters, of_quarter = divmod(of_century, 4)
    weekday = (32 + 2 * leap_remainder + 2 * quarters - epact - of_quarter) % 7
    shift = (golden + 11 * epact + 22 * weekday) // 451
    month, day = divmod(epact + weekday - 7 * shift + 114, 31)
    return date(year, month, day + 1)


def published_at(day: date) -> datetime:
    """When the rates of a working day are published, unless they are late."""
    return datetime.combine(day, PUBLISHED_AT)
