"""Files as a carrier and the controllers drop them: deliveries and sales targets, now and then with something wrong.

An order arrives once. Which have arrived is read from the files that were dropped before.
"""

import gzip
import json
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import psycopg

from totes_dagster.errors import TotesError
from totes_dagster.simulator import vocabulary

SHIPMENTS = "shipment"
TARGETS = "sales_target"

_KEPT = 0.82
"""Share of orders that arrive by the day that was agreed."""

_BAD_FILES = 0.03
_BAD_ROWS = 0.05
_MOST_AT_ONCE = 5

_ORDERS = """
    select sales_order_id, units_sold, agreed_delivery_date::date, created_at from sales_order
    where sales_order_id <> all (%s) order by agreed_delivery_date::date, sales_order_id limit %s
"""

_SOLD = """
    select department_name, date_trunc('month', sales_order.created_at)::date, sum(units_sold * unit_price)
    from sales_order join staff using (staff_id) join department using (department_id)
    group by 1, 2 order by 1, 2
"""


@dataclass(frozen=True)
class Delivery:
    """What arrives of a sales order, and when, UTC."""

    order: int
    at: datetime
    units: int

    def to_json(self) -> str:
        """A line of the carrier's file."""
        return json.dumps(
            {"sales_order_id": self.order, "delivered_at": f"{self.at:%Y-%m-%dT%H:%M:%SZ}", "units": self.units}
        )


class FileDrops:
    """Drops files into a folder that is the landing zone.

    Args:
        source: libpq URI of a seeded source.
        landing: the folder.
        seed: seed of all random choices.
    """

    def __init__(self, source: str, landing: Path, *, seed: int = 0) -> None:
        self._source = source
        self._landing = landing
        self._rng = vocabulary.generator(seed, "files")
        self._delivered = set(_orders_in(landing / SHIPMENTS))

    def drop_history(self) -> None:
        """Drop all deliveries and targets so far, unless there are files of them already."""
        now = _now()
        if not self._delivered:
            arrived = [each for each in map(self._arrival, self._waiting(None)) if each.at <= now]
            self._drop(arrived, f"{SHIPMENTS}/{now:%Y-%m-%d}-history.ndjson.gz", gzip.compress)
        if not any(self._landing.glob(f"{TARGETS}/*")):
            header = "month,department,amount_gbp,decided_on"
            for year, rows in self._targets().items():
                self._write(f"{TARGETS}/{year}.csv", "\n".join([header, *rows]).encode())

    def drop_one(self) -> str | None:
        """Drop a file with the next deliveries, which are made now; return its path, or None if all orders arrived."""
        now = _now()
        waiting = self._waiting(self._rng.randint(1, _MOST_AT_ONCE))
        if not waiting:
            return None
        path = f"{SHIPMENTS}/{now:%Y-%m-%dT%H%M%S.%f}.ndjson"
        wrong = [{"sales_order_id": waiting[0][0], "delivered_at": "yesterday", "units": -1}]
        self._drop(
            [Delivery(order, now.replace(microsecond=0), units) for order, units, _, _ in waiting],
            path,
            (lambda content: gzip.compress(content)[:-9]) if self._rng.random() < _BAD_FILES else bytes,
            wrong if self._rng.random() < _BAD_ROWS else [],
        )
        return path

    def _drop(
        self,
        deliveries: list[Delivery],
        path: str,
        pack: Callable[[bytes], bytes],
        wrong: Sequence[Mapping[str, object]] = (),
    ) -> None:
        lines = [*(each.to_json() for each in deliveries), *map(json.dumps, wrong)]
        self._write(path, pack("\n".join(lines).encode()))
        self._delivered.update(each.order for each in deliveries)

    def _waiting(self, limit: int | None) -> list[tuple[int, int, date, datetime]]:
        """Orders that did not arrive yet, those that are due first: number, units, day agreed, and creation."""
        return self.fetch(_ORDERS, [sorted(self._delivered), limit])

    def _arrival(self, order: tuple[int, int, date, datetime]) -> Delivery:
        """When an order of the past arrived, mostly by the day that was agreed."""
        number, units, agreed, created = order
        days = -self._rng.randint(0, 2) if self._rng.random() < _KEPT else 1 + int(self._rng.expovariate(1 / 3))
        moment = time(self._rng.randint(7, 18), self._rng.randint(0, 59), self._rng.randint(0, 59))
        at = max(datetime.combine(agreed + timedelta(days=days), moment), created + timedelta(hours=1))
        return Delivery(number, at.replace(microsecond=0), units)

    def _targets(self) -> dict[int, list[str]]:
        """Lines of the controllers' files, by year: mostly somewhat less than what was sold then."""
        years: dict[int, list[str]] = {}
        for department, month, sold in self.fetch(_SOLD, []):
            target = round(float(sold) * self._rng.uniform(0.7, 1.1), -2)
            row = f"{month:%Y-%m},{department},{target:.2f},{month - timedelta(days=20)}"
            years.setdefault(month.year, []).append(row)
        return years

    def fetch(self, statement: str, values: list[object]) -> list[tuple[Any, ...]]:
        """Rows of the source."""
        with psycopg.connect(self._source) as connection:
            return connection.execute(statement, values).fetchall()

    def _write(self, path: str, content: bytes) -> None:
        """Write a file so that it appears complete."""
        file = self._landing / path
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = file.with_name(f".{file.name}")
        unfinished.write_bytes(content)
        unfinished.rename(file)


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def _orders_in(folder: Path) -> Iterator[int]:
    """The orders in files that were dropped before, as far as these can be read."""
    for file in sorted(folder.glob("*.ndjson*")):
        with suppress(OSError, EOFError, ValueError, zlib.error):
            content = file.read_bytes()
            for line in (gzip.decompress(content) if file.suffix == ".gz" else content).splitlines():
                yield json.loads(line)["sales_order_id"]


@contextmanager
def dropping(drops: FileDrops, every: float, failed: Callable[[str], None]) -> Iterator[None]:
    """Drop files now and then during the block, in a thread.

    Args:
        drops: what to drop.
        every: seconds between two files.
        failed: called with the reason when a file cannot be dropped. The next one is tried.
    """
    stop = threading.Event()

    def drop() -> None:
        while not stop.wait(every):
            try:
                drops.drop_one()
            except (OSError, psycopg.Error, TotesError) as error:
                with suppress(Exception):
                    failed(str(error))

    thread = threading.Thread(target=drop, name="files", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
