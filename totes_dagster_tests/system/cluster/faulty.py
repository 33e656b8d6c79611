"""Loaded by the workers of these tests: the first of them that gets to a point fails there, in one of several ways."""

import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import wraps
from pathlib import Path
from typing import Any

from totes_dagster.errors import DatabaseUnavailableError
from totes_dagster.lake.zone import Zone
from totes_dagster.warehouse.transaction import WarehouseTransaction

VARIABLE = "TOTES_TESTS_FAULT"


@dataclass(frozen=True)
class Fault:
    """What happens to a worker, once.

    Attributes:
        point: `read` (rows of the source are about to be written), `remodelled` (so is a part of the processed zone),
            `copied` (rows are staged, and not committed) or `committed` (they are, and nobody knows).
        way: `kill`, `freeze`, `fail`, or `wait` until `go_on` is called.
        flag: a file that is there once it has happened, with the id of the worker's process.
        others: ids of further processes that are killed before.
    """

    point: str
    way: str
    flag: str
    others: tuple[int, ...] = ()

    def environment(self) -> dict[str, str]:
        """What a worker needs to have this fault."""
        return {
            VARIABLE: json.dumps(asdict(self)),
            "DASK_DISTRIBUTED__WORKER__PRELOAD": f'["{__name__}"]',
        }

    def happened_to(self) -> int | None:
        """The id of the process that it happened to; None if it has not."""
        with suppress(FileNotFoundError):
            return int(Path(self.flag).read_text() or 0) or None
        return None

    def go_on(self) -> None:
        """Let a worker go on that waits."""
        Path(f"{self.flag}.over").touch()

    def happen(self) -> None:
        """Let it happen, unless it has already."""
        try:
            descriptor = os.open(self.flag, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            return
        os.write(descriptor, str(os.getpid()).encode())
        os.close(descriptor)
        for process in self.others:
            os.kill(process, signal.SIGKILL)
        if self.way == "fail":
            raise DatabaseUnavailableError("The server closed the connection.")
        if self.way == "wait":
            while not Path(f"{self.flag}.over").exists():
                time.sleep(0.05)
            return
        os.kill(os.getpid(), {"kill": signal.SIGKILL, "freeze": signal.SIGSTOP}[self.way])


def dask_setup(worker: Any) -> None:
    """Have the fault of the environment happen at its point; Dask calls this when a worker starts."""
    fault = Fault(**json.loads(os.environ[VARIABLE]))
    before, after = _before(fault), _after(fault)
    if fault.point == "read":
        _wrap(Zone, "create", before(lambda path: path.startswith("sales_order/")))
    elif fault.point == "remodelled":
        _wrap(Zone, "create", before(lambda path: path.startswith("fact_sales_order/")))
    elif fault.point == "copied":
        _wrap(WarehouseTransaction, "commit", before(lambda *_: True))
    else:
        _wrap(WarehouseTransaction, "commit", after)


def _wrap(owner: type, name: str, wrapped: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    setattr(owner, name, wrapped(getattr(owner, name)))


def _before(fault: Fault) -> Callable[[Callable[..., bool]], Callable[[Callable[..., Any]], Callable[..., Any]]]:
    def at(is_there: Callable[..., bool]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def wrapped(method: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(method)
            def failing(self: Any, *arguments: Any, **options: Any) -> Any:
                if is_there(*arguments[:1]):
                    fault.happen()
                return method(self, *arguments, **options)

            return failing

        return wrapped

    return at


def _after(fault: Fault) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def wrapped(method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def failing(self: Any, *arguments: Any, **options: Any) -> Any:
            result = method(self, *arguments, **options)
            fault.happen()
            return result

        return failing

    return wrapped
