"""dlt's work in a process of its own: copies the source's tables into the warehouse's database.

    python -m benchmarks.dlt_copy

The environment names the databases, and configures dlt. Prints the seconds, CPU seconds and memory that it took, and
the rows that dlt counted, as JSON. Imports nothing of the platform, whose memory would count as dlt's.
"""

import json
import os
import resource
import sys
import time

import dlt
from dlt.common.runtime import anon_tracker
from dlt.sources.sql_database import sql_database

CHUNK = 100_000
"""Rows that are read at once; somewhat faster than the 50,000 that are dlt's default."""


def destination_of(url: str) -> str:
    """The libpq URI of the embedded server, for dlt, which wants a host and a password in every URI.

    To libpq, the parameter `host` that follows, the socket's folder, is the one that counts.
    """
    return url.replace("@/", ":none@localhost/")


def copy() -> dict[str, int]:
    """Copy the tables of the source, and replace what is there; return the rows by table, those of dlt's own too."""
    pipeline = dlt.pipeline(
        "peer",
        destination=dlt.destinations.postgres(destination_of(os.environ["WAREHOUSE_URL"])),
        dataset_name="totesys",
    )
    source = sql_database(os.environ["TOTESYS_URL"], backend="pyarrow", chunk_size=CHUNK)
    pipeline.run(source, write_disposition="replace", loader_file_format="csv")
    rows: dict[str, int] = pipeline.last_trace.last_normalize_info.row_counts
    return rows


def main() -> None:
    """Copy, and print what it took."""
    # With telemetry off, dlt sends nothing, but still writes the id that it would send into the user's folder.
    anon_tracker.get_anonymous_id = lambda: ""
    wall, cpu = time.perf_counter(), time.process_time()
    rows = copy()
    took = {
        "version": dlt.__version__,
        "seconds": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "rows": {table: count for table, count in rows.items() if not table.startswith("_dlt")},
    }
    sys.stdout.write(json.dumps(took))


if __name__ == "__main__":
    main()
