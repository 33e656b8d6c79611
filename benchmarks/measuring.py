"""Running something in a process of its own, and what it needed: time, CPU, memory."""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.bench import Bench
from totes_dagster.config.platform import Platform

_MEGABYTE = 1024


@dataclass(frozen=True)
class Measured:
    """What something needed.

    Attributes:
        seconds: from start to end.
        client_cpu: CPU seconds of the process and its children.
        server_cpu: CPU seconds of the server meanwhile.
        peak: the most memory that the process had, in MB.
        result: what it printed as JSON, if anything.
    """

    seconds: float
    client_cpu: float = 0
    server_cpu: float = 0
    peak: float = 0
    result: dict[str, Any] = field(default_factory=dict)


def settings_of(platform: Platform) -> dict[str, str]:
    """The settings that name a platform."""
    return {
        "TOTESYS_URL": platform.source.url,
        "TOTES_CAPTURE": "log" if platform.from_log else "census",
        "WAREHOUSE_URL": platform.warehouse.database.url,
        "TOTES_INGESTION_LAKE": platform.lake.ingestion.url,
        "TOTES_PROCESSED_LAKE": platform.lake.processed.url,
    }


def run(bench: Bench, command: Sequence[str], environment: Mapping[str, str] | None = None) -> Measured:
    """Run a program to a good end.

    Raises:
        subprocess.CalledProcessError: it failed; its output is printed.
    """
    server_before = bench.cpu_seconds()
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, env={**os.environ, **(environment or {})}, stdout=output)  # noqa: S603
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        printed = output.read()
    if process.returncode:
        sys.stderr.write(printed)
        raise subprocess.CalledProcessError(process.returncode, list(command))
    last = printed.strip().splitlines()[-1] if printed.strip() else ""
    return Measured(
        seconds,
        client_cpu=used.ru_utime + used.ru_stime,
        server_cpu=bench.cpu_seconds() - server_before,
        peak=used.ru_maxrss / _MEGABYTE,
        result=json.loads(last) if last.startswith("{") else {},
    )


def run_work(bench: Bench, platform: Platform, work: str, *arguments: str) -> Measured:
    """Do some of the platform's work in a process of its own; see `work.py`."""
    return run(bench, [sys.executable, "-m", "benchmarks.work", work, *arguments], settings_of(platform))


def run_totes(bench: Bench, platform: Platform, *arguments: str) -> Measured:
    """Run a command of `totes`."""
    return run(bench, [sys.executable, "-m", "totes_dagster.cli.commands", *arguments], settings_of(platform))


def median(of: Sequence[Measured]) -> float:
    """The median of the seconds."""
    return statistics.median(each.seconds for each in of)


def peak_of_this_process() -> float:
    """The most memory that this process has had so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MEGABYTE
