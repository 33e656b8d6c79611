"""The embedded stack as a whole: how it is left."""

import fcntl
import os

from totes_dagster.local.stack import LocalStack
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
