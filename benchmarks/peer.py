"""The row `peer`: a first load beside dlt, which copies the same tables from one database into another, and no more."""

import statistics
import sys
from collections.abc import Iterator
from importlib.util import find_spec

from benchmarks.bench import Bench
from benchmarks.measuring import Measured, run, run_work, settings_of
from benchmarks.rows import Size

_INSTALL = ".venv/bin/uv pip install --python .venv/bin/python --editable '.[peer]'"


def peer(bench: Bench, size: Size) -> Iterator[str]:
    """A first load against dlt's copy of the raw tables, in turns."""
    if find_spec("dlt") is None:
        yield f"skipped: dlt is not installed; {_INSTALL}"
        return
    company = bench.company(size.orders)
    loads, copies = [], []
    for number in range(size.rounds):
        loads.append(run_work(bench, bench.platform(company, name := f"beside_{number}"), "first-load"))
        bench.drop(name)
        copies.append(_copy_by_dlt(bench, company, f"peer_{number}"))
    ours, theirs = ([each.result["refresh"] for each in loads], [each.result for each in copies])
    (seconds, cpu), (dlt_seconds, dlt_cpu) = (
        [statistics.median(each[what] for each in results) for what in ("seconds", "cpu")] for results in (ours, theirs)
    )
    counts = theirs[0]["rows"]
    yield (
        f"first load of {size.orders:,} orders, with lake, star, keys and history: {seconds:.1f} s, "
        f"{seconds / dlt_seconds:.2f} times that of dlt"
    )
    yield (
        f"dlt {theirs[0]['version']}, the {len(counts)} raw tables, {sum(counts.values()):,} rows, without any of "
        f"these: {dlt_seconds:.1f} s"
    )
    for name, measured, results, used in (("first load", loads, ours, cpu), ("dlt", copies, theirs, dlt_cpu)):
        server = statistics.median(each.server_cpu for each in measured)
        peak = max(each["peak"] for each in results)
        yield f"{name}: {used:.1f} CPU seconds of the client, {server:.1f} of the server; peak memory {peak:.0f} MB"


def _copy_by_dlt(bench: Bench, company: str, name: str) -> Measured:
    """Copy a company into a new database, which is removed afterwards; dlt's own files are in the bench's folder."""
    folder = bench.folder / "lakes" / name / "dlt"
    folder.mkdir(parents=True)
    settings = {
        "DLT_DATA_DIR": str(folder),
        "DLT_PROJECT_DIR": str(folder),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "RUNTIME__LOG_LEVEL": "ERROR",
        # Its documentation's advice for speed. Compressing took longer than everything else together.
        "DATA_WRITER__DISABLE_COMPRESSION": "true",
        "NORMALIZE__DATA_WRITER__DISABLE_COMPRESSION": "true",
    }
    platform = bench.platform(company, name)
    copied = run(bench, [sys.executable, "-m", "benchmarks.dlt_copy"], settings_of(platform) | settings)
    bench.drop(name)
    return copied
