"""The row `peer`: a first load beside dlt, which copies the same tables from one database into another, and no more."""

import statistics
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec

from benchmarks.bench import Bench
from benchmarks.measuring import Measured, run, run_work, settings_of
from benchmarks.rows import Size
from totes_dagster.schema.totesys import SOURCE_TABLES

_INSTALL = ".venv/bin/uv pip install --python .venv/bin/python --editable '.[peer]'"

_BACKENDS = ("pyarrow", "connectorx")
"""How dlt reads: by its own means, and by those that its documentation calls the fastest."""


def peer(bench: Bench, size: Size) -> Iterator[str]:
    """A first load against dlt's copies of the raw tables, in turns."""
    if not (find_spec("dlt") and find_spec("connectorx")):
        yield f"skipped: dlt and ConnectorX are not installed; {_INSTALL}"
        return
    company = bench.company(size.orders)
    loads: list[Measured] = []
    copies: dict[str, list[Measured]] = {backend: [] for backend in _BACKENDS}
    for number in range(size.rounds):
        loads.append(run_work(bench, bench.platform(company, name := f"beside_{number}"), "first-load"))
        bench.drop(name)
        for backend, copied in copies.items():
            copied.append(_copy_by_dlt(bench, company, backend))
    ours = [load.result["refresh"] for load in loads]
    seconds = _median(ours, "seconds")
    yield f"first load of {size.orders:,} orders, with lake, star, keys and history: {seconds:.1f} s"
    for backend, copied in copies.items():
        theirs = [copy.result for copy in copied]
        alone = _median(theirs, "seconds")
        yield (
            f"{seconds / alone:.2f} times dlt {theirs[0]['version']} with {backend}, which copies the "
            f"{len(SOURCE_TABLES)} raw tables, {theirs[0]['rows']:,} rows, and no more ({alone:.1f} s)"
        )
    yield f"first load: {_needed(loads, ours)}"
    for backend, copied in copies.items():
        yield f"dlt with {backend}: {_needed(copied, [copy.result for copy in copied])}"


def _copy_by_dlt(bench: Bench, company: str, backend: str) -> Measured:
    """Copy a company into a new database, which is removed afterwards; dlt's own files are in the bench's folder."""
    platform = bench.platform(company, name := f"peer_{backend}")
    folder = bench.folder / "lakes" / name / "dlt"
    folder.mkdir(parents=True)
    settings = {
        "DLT_DATA_DIR": str(folder),
        "DLT_PROJECT_DIR": str(folder),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "RUNTIME__LOG_LEVEL": "ERROR",
        # Compressing files that are read once took longer than everything else together.
        "DATA_WRITER__DISABLE_COMPRESSION": "true",
        "NORMALIZE__DATA_WRITER__DISABLE_COMPRESSION": "true",
    }
    command = [sys.executable, "-m", "benchmarks.dlt_copy", backend, *SOURCE_TABLES]
    copied = run(bench, command, settings_of(platform) | settings)
    bench.drop(name)
    return copied


def _median(results: Sequence[dict[str, float]], what: str) -> float:
    return statistics.median(result[what] for result in results)


def _needed(measured: Sequence[Measured], results: Sequence[dict[str, float]]) -> str:
    cpu, server = _median(results, "cpu"), statistics.median(each.server_cpu for each in measured)
    peak = max(result["peak"] for result in results)
    return f"{cpu:.1f} CPU seconds of the client, {server:.1f} of the server; peak memory of the process {peak:.0f} MB"
