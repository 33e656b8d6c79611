"""What many tests stand on: a PostgreSQL server for each process of the run, and as many databases as a test asks for.

And what concerns the run as a whole: which files come first, how many examples hypothesis tries, and what is printed at
the end.
"""

import gc
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.loaders import create_loader
from hypothesis import settings

from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster_tests.companies import Companies, Company, Originals, databases
from totes_dagster_tests.dagsters_storage import make_cheap
from totes_dagster_tests.servers import FAST_SETTINGS, server_folder

Summaries = dict[str, list[str]]
"""What tests report at the end of the run: lines by heading."""

_SUMMARIES = pytest.StashKey[Summaries]()

_LONG_AND_LAST = (
    "integration/orchestration/test_sensors.py",
    "integration/cli/test_commands.py",
    "integration/orchestration/development/test_dev.py",
)
"""Files that take more than a minute, and would come last. They come first: else one process is left with them."""

# Machines differ, and how long an example takes is no claim of ours. `--hypothesis-profile=thorough` tries many more,
# and `quick`, which `make test-unit` takes, fewer.
settings.register_profile("unhurried", deadline=None, max_examples=25)
settings.register_profile("quick", deadline=None, max_examples=15)
settings.register_profile("thorough", deadline=None, max_examples=500)
settings.load_profile("unhurried")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_SUMMARIES] = {}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.path.as_posix().endswith(_LONG_AND_LAST))


def pytest_collection_finish() -> None:
    """Have the garbage collector pass over what is there for the whole run: modules, and the tests themselves."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand what is to be printed at the end to the process that prints it."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["summaries"] = session.config.stash[_SUMMARIES]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    for heading, lines in getattr(node, "workeroutput", {}).get("summaries", {}).items():
        node.config.stash[_SUMMARIES].setdefault(heading, []).extend(lines)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for heading, lines in config.stash[_SUMMARIES].items():
        terminalreporter.section(heading)
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def summaries(pytestconfig: pytest.Config) -> Summaries:
    """Where to put what is to be printed at the end of the run."""
    return pytestconfig.stash[_SUMMARIES]


@pytest.fixture(scope="session", autouse=True)
def dagsters_storage() -> Iterator[pytest.MonkeyPatch]:
    """Dagster's own storage, made cheaper."""
    with pytest.MonkeyPatch.context() as patched:
        make_cheap(patched)
        yield patched


@pytest.fixture(scope="session", autouse=True)
def services_of_aws_are_described_once() -> Iterator[None]:
    """Have all of the SDK's sessions share what they read of AWS's services: megabytes of JSON."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(botocore.session, "create_loader", cache(create_loader))
        yield


@pytest.fixture
def dagsters_storage_as_it_is(dagsters_storage: pytest.MonkeyPatch) -> Iterator[None]:
    """Dagster's own storage, at the price that it has in use."""
    dagsters_storage.undo()
    yield
    make_cheap(dagsters_storage)


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """A running server, gone with everything in it when the run ends, also when the run is killed."""
    with server_folder() as folder, EmbeddedPostgres(folder, FAST_SETTINGS) as server:
        yield server


@pytest.fixture
def database(postgres: EmbeddedPostgres) -> Iterator[Callable[..., str]]:
    """A function that creates a new empty database and returns its URI; see `databases`."""
    with databases(postgres) as create:
        yield create


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Callable[[EmbeddedPostgres], Originals]:
    """What companies are copied from, on each server."""
    return cache(lambda server: Originals(server, tmp_path_factory.mktemp("originals")))


@pytest.fixture
def companies(
    postgres: EmbeddedPostgres,
    database: Callable[..., str],
    originals: Callable[[EmbeddedPostgres], Originals],
    tmp_path: Path,
) -> Companies:
    """Companies of the test's own, copied from those of the test's server."""
    return Companies(originals(postgres), database, tmp_path)


@pytest.fixture
def source(companies: Companies) -> str:
    """A small simulated source."""
    return companies.source(Company())


@pytest.fixture
def older_source(companies: Companies) -> str:
    """A source that does not enforce the references that only the newer form enforces."""
    return companies.source(Company(enforced=False))
