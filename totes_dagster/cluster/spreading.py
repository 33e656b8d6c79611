"""Spreading pieces of work over a cluster's workers; what they do not do is done here."""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from totes_dagster.cluster.code import code_digest, resource
from totes_dagster.cluster.credentials import Credentials
from totes_dagster.cluster.scaling import WorkersService
from totes_dagster.cluster.work import STARTED, Answer, perform
from totes_dagster.errors import ClusterError, one_line
from totes_dagster.runtime.interruption import within

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger(__name__)

W = TypeVar("W")
R = TypeVar("R")

MANY_PIECES = 4
"""Fewer pieces of work are done here in the time that it takes to tell workers of them."""

_CONNECT_SECONDS = 10

_CONNECT_ATTEMPTS = 2

_START_SECONDS = 300
"""How long to wait for a first worker that was asked for."""

_POLL_SECONDS = 1.0

_SILENCE_SECONDS = 30
"""After so long without an answer, the scheduler is asked whether it is there."""

_STALLED_SECONDS = 900
"""After so long without an answer, this process does what is left. A piece takes seconds."""

_THREADS_HERE = 2


@dataclass(frozen=True)
class Spread:
    """How some pieces of work were spread.

    Attributes:
        what: what they are, in the plural.
        pieces: how many pieces there were.
        hosts: the machines whose workers did some.
        repeated: how many times a worker began a piece that another had begun, and was lost with.
        here: how many pieces this process did itself.
    """

    what: str
    pieces: int
    hosts: tuple[str, ...]
    repeated: int
    here: int

    def __str__(self) -> str:
        machines = f"{len(self.hosts)} machine{'' if len(self.hosts) == 1 else 's'}"
        said = f"{self.pieces - self.here} of {self.pieces} {self.what} were done by workers on {machines}"
        said += f", {self.repeated} of them again after a worker was lost" if self.repeated else ""
        return f"{said}, {self.here} by this process" if self.here else said


@dataclass(frozen=True)
class Cluster:
    """A scheduler with workers, which may be unreachable.

    Attributes:
        address: `tls://host:port` of the scheduler.
        credentials: reads what its processes and this one prove to one another.
        service: where workers can be asked for, if there are none; None if nowhere.
        spread: what was spread until now, whichever way it was done.
        lost: why it is not asked any more; empty while it is. A later command or run asks it again.
    """

    address: str
    credentials: Callable[[], Credentials]
    service: WorkersService | None = None
    spread: list[Spread] = field(default_factory=list, compare=False)
    lost: list[ClusterError] = field(default_factory=list, compare=False)
    _connections: list["Client"] = field(default_factory=list, compare=False, repr=False)
    _connecting: threading.Lock = field(default_factory=threading.Lock, compare=False, repr=False)

    def workers(self) -> int:
        """How many workers it has that run this code.

        Raises:
            ClusterError: it cannot be reached.
        """
        return len(_workers(self._connection()))

    def close(self) -> None:
        """Close the connection to the scheduler, if there is one; it ends with the process anyway."""
        with self._connecting:
            while self._connections:
                _close(self._connections.pop())

    def each(
        self, what: str, works: Sequence[W], *, task: Callable[[W], R], here: Callable[[W], R]
    ) -> Iterator[tuple[W, R]]:
        """Do pieces of work on workers, or here; yield each, with its result, as soon as it is done.

        A piece whose worker is lost is done by another. Pieces that no worker can do, and those that are left when the
        cluster is lost, are done here. So a task must be one that can be done twice.

        Args:
            what: what the pieces are, in the plural, for the log.
            works: names only; see `perform`.
            task: what a worker does: a function of a module, which finds everything else on its own machine.
            here: the same, in this process.

        Raises:
            TotesError: a task raised it. Pieces that were not begun are cancelled.
        """
        left = dict(enumerate(works))
        hosts: set[str] = set()
        told: set[str] = set()
        repeated = 0
        try:
            client, name = self._ready(), f"{what} {uuid.uuid4().hex[:12]}"
            for number, answer in _answers(client, name, left, task):
                if answer.error:
                    if not (answer.error.transient or isinstance(answer.error, ClusterError)):
                        raise answer.error
                    said = f"A worker on {answer.host} could not do one of {what}: {answer.error}"
                    if said not in told:
                        logger.warning(said)
                        told.add(said)
                    continue
                hosts.add(answer.host)
                yield left.pop(number), answer.result
            repeated = max(_begun(client, name) - len(works), 0)
        except ClusterError as error:
            self.lost.append(error)
            logger.warning("%s This process does what is left: %d of %d %s.", error, len(left), len(works), what)
        remaining = list(left.values())
        with ThreadPoolExecutor(_THREADS_HERE) as pool:
            yield from zip(remaining, pool.map(here, remaining), strict=True)
        done = Spread(what, len(works), tuple(sorted(hosts)), repeated, len(remaining))
        self.spread.append(done)
        logger.info("%s.", done)

    def _ready(self) -> "Client":
        """The connection to the scheduler, which has workers with this code.

        Raises:
            ClusterError: it cannot be reached, or has no such workers.
        """
        for earlier in self.lost:
            raise earlier
        client = self._connection()
        if not _workers(client) and self.service:
            logger.info("Waiting for %d workers.", self.service.count)
            self.service.request()
            deadline = time.monotonic() + _START_SECONDS
            while not _workers(client) and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
        if not _workers(client):
            raise ClusterError(f"The cluster {self.address} has no worker with this version of the platform.")
        return client

    def _connection(self) -> "Client":
        """The connection to the scheduler: a new one the first time, from whichever thread."""
        with self._connecting:
            if not self._connections:
                self._connections.append(self._connect())
            return self._connections[0]

    def _connect(self) -> "Client":
        try:
            from distributed import Client  # noqa: PLC0415 - slow to import
        except ImportError as error:
            raise ClusterError(
                "TOTES_WORKERS is set, but the packages of a cluster are not installed: pip install "
                "'totes-dagster[cluster]'."
            ) from error

        def connect() -> Client:
            security = self.credentials().security()
            return Client(  # type: ignore[no-untyped-call]
                self.address, security=security, timeout=_CONNECT_SECONDS, set_as_default=False
            )

        for attempt in range(_CONNECT_ATTEMPTS):
            try:
                return within(_CONNECT_SECONDS * 2, connect)
            except Exception as error:  # the library has many
                # It stumbles over what a scheduler says right after its welcome, which it does not the next time.
                if attempt + 1 == _CONNECT_ATTEMPTS or not isinstance(error, AssertionError):
                    reason = one_line(str(error) or type(error).__name__)
                    raise ClusterError(f"The cluster {self.address} cannot be reached: {reason}") from error
        raise AssertionError("The last attempt either returns or raises.")


def _answers(
    client: "Client", name: str, works: dict[int, Any], task: Callable[[Any], Any]
) -> Iterator[tuple[int, Answer]]:
    """The answers of workers, as they come.

    Raises:
        ClusterError: the scheduler is lost.
    """
    from distributed.scheduler import KilledWorker, NoWorkerError  # noqa: PLC0415 - slow to import

    executor = client.get_executor(pure=False, resources={resource(): 1})  # type: ignore[no-untyped-call]
    try:
        futures = {
            executor.submit(perform, code_digest(), task, work, f"{name} {number}"): number
            for number, work in works.items()
        }
        waiting, heard = set(futures), time.monotonic()
        while waiting:
            done, waiting = wait(waiting, timeout=_SILENCE_SECONDS, return_when=FIRST_COMPLETED)
            if done:
                heard = time.monotonic()
            elif time.monotonic() - heard > _STALLED_SECONDS:
                raise ClusterError(f"The cluster is lost: no worker has done anything for {_STALLED_SECONDS} s.")
            else:
                _workers(client)  # a scheduler that answers nothing is lost
            for future in done:
                try:
                    answer: Answer = future.result()
                except (KilledWorker, NoWorkerError) as error:
                    answer = Answer("the cluster", error=ClusterError(one_line(error)))
                yield futures[future], answer
    except (CancelledError, OSError, TimeoutError) as error:
        raise _lost(error) from error
    finally:
        with suppress(TimeoutError):
            within(_CONNECT_SECONDS, lambda: executor.shutdown(wait=False))


def _workers(client: "Client") -> list[str]:
    """The workers that run this code.

    Raises:
        ClusterError: the scheduler does not answer.
    """
    try:
        found = within(_CONNECT_SECONDS, lambda: client.scheduler_info(n_workers=-1))["workers"]
    except (KeyError, OSError, TimeoutError) as error:  # it has no key without a connection
        raise _lost(error) from error
    return [address for address, worker in found.items() if resource() in worker["resources"]]


def _close(client: "Client") -> None:
    with suppress(TimeoutError):
        within(_CONNECT_SECONDS * 2, lambda: client.close(timeout=_CONNECT_SECONDS))  # type: ignore[no-untyped-call]


def _lost(error: Exception) -> ClusterError:
    return ClusterError(f"The cluster is lost: {one_line(str(error) or type(error).__name__)}")


def _begun(client: "Client", name: str) -> int:
    """How many times workers have begun one of these pieces of work."""
    try:
        events = within(_CONNECT_SECONDS, lambda: client.get_events(STARTED))
    except (OSError, TimeoutError):
        return 0
    return sum(1 for _, event in events if str(event).startswith(name))
