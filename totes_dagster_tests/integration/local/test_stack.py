"""The embedded stack as a whole: how it is looked at, and how it is left."""

import fcntl
import os

import psutil
import pytest

from totes_dagster.config.platform import source_database, warehouse_database
from totes_dagster.errors import NothingHereError
from totes_dagster.local.stack import LocalStack, existing_stack
from totes_dagster_tests.servers import server_folder


def test_a_stack_has_stopped_when_it_says_so_and_not_while_others_use_it() -> None:
    with server_folder() as folder:
        ours, theirs = LocalStack(folder).start(), LocalStack(folder).start()
        lock = os.open(folder / "postgres" / "server.lock", os.O_RDONLY)
        assert not ours.stop()
        assert theirs.server.create_database("more")
        assert theirs.stop()
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # which no process of the server holds any more
        os.close(lock)


def test_a_stack_that_was_never_started_has_stopped() -> None:
    with server_folder() as folder:
        assert LocalStack(folder).stop()
        assert list(folder.iterdir()) == []


def test_a_stack_is_looked_at_again_and_again_through_one_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    with server_folder() as folder:
        monkeypatch.setenv("TOTES_HOME", str(folder))
        with pytest.raises(NothingHereError):
            source_database(create=False)
        assert list(folder.iterdir()) == []
        stack = LocalStack(folder).start()
        with pytest.raises(NothingHereError):
            source_database(create=False)
        stack.seed(3)
        before = len(psutil.Process().open_files())
        assert source_database(create=False).url == stack.database_url("totesys")
        assert warehouse_database(create=False).url == stack.database_url("warehouse")
        assert len(psutil.Process().open_files()) == before
        assert not stack.stop()  # for those who look use it, too
        existing_stack().server.release()
