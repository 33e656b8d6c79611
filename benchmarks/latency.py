"""The row `latency`: how soon `totes dev` shows a change, beside what the same refresh takes when called directly."""

import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.measuring import run_totes, run_work, settings_of
from benchmarks.rows import Size
from totes_dagster.config import settings
from totes_dagster.config.platform import Platform
from totes_dagster.latency.measurement import measure
from totes_dagster.latency.runs import with_run
from totes_dagster.latency.timings import summaries_of
from totes_dagster.orchestration.development.webserver import why_not_loaded
from totes_dagster.runtime.processes import die_with_parent
from totes_dagster.simulator.pauses import exponential_pauses
from totes_dagster.simulator.vocabulary import generator

_CHANGES = 10
"""Per round: as many as `totes latency` makes by default, in three."""

_MEAN_PAUSE = 5.0
_PATIENCE = 600
_POLL_SECONDS = 0.2
_SAME_REFRESH = "one member of staff"


def latency(bench: Bench, size: Size) -> Iterator[str]:
    """Changes of one row at random moments, from their commit until a query of the warehouse returns them."""
    platform = bench.platform(bench.company(size.orders), "watched")
    run_totes(bench, platform, "refresh")
    bench.settle("watched")
    warm = run_work(bench, platform, "refreshes", str(4 * size.rounds))
    direct = statistics.median(warm.result[_SAME_REFRESH])
    pauses = exponential_pauses(_MEAN_PAUSE, generator(0, "latency"))
    with development(bench, platform) as home:
        changes = measure(platform, changes=_CHANGES * size.rounds, pauses=pauses, timeout=_PATIENCE)
        changes = with_run(changes, home / "dagster")
    *steps, total = summaries_of(changes)
    yield (
        f"commit to query beside `totes dev`, {size.orders:,} orders, {total.count} changes: median {total.median:.2f} "
        f"s, 95 % {total.p95:.2f} s"
    )
    yield f"95 %: {total.p95 / direct:.1f} times the same refresh, called directly in a warm process ({direct:.2f} s)"
    for step in steps:
        yield f"{' to '.join(step.step)}: median {step.median:.2f} s, 95 % {step.p95:.2f} s"


@contextmanager
def development(bench: Bench, platform: Platform) -> Iterator[Path]:
    """`totes dev` on a platform, with its definitions loaded; yields its home. Stopped as by Ctrl-C at the end."""
    home = bench.folder / "dev"
    home.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "totes_dagster.cli.commands", "dev", "--port", str(port)]
    with (home / "printed").open("w+") as output:
        process = subprocess.Popen(  # noqa: S603 - our own command
            command,
            cwd=home,
            env={**os.environ, **settings_of(platform), settings.HOME: str(home)},
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent(signal.SIGTERM),  # noqa: PLW1509 - it only makes a system call
        )
        try:
            while (reason := why_not_loaded(port)) is None and process.poll() is None:
                time.sleep(_POLL_SECONDS)
            if reason or process.returncode is not None:
                output.seek(0)
                sys.stderr.write(output.read())
                raise subprocess.CalledProcessError(process.poll() or 1, command)
            yield home
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()
