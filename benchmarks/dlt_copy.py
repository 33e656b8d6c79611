"""dlt's work in a process of its own: copies tables of the source into the warehouse's database.

    python -m benchmarks.dlt_copy pyarrow staff department …

The environment names the databases, and configures dlt. Prints the seconds, CPU seconds and memory that it took, and
the rows that dlt counted, as JSON. Imports nothing of the platform, whose memory would count as dlt's.
"""

import json
import os
import resource
import sys
import time
from urllib.parse import parse_qs, quote, urlsplit

import dlt
from dlt.common.runtime import anon_tracker
from dlt.sources.sql_database import sql_database

CHUNK = 100_000
"""Rows that are read at once, twice dlt's default."""


def with_host(url: str) -> str:
    """The URI of one of the embedded server's databases, with a host and a password: dlt and ConnectorX want both."""
    parts = urlsplit(url)
    ((folder,), (port,)) = (parse_qs(parts.query)[name] for name in ("host", "port"))
    return f"postgresql://{parts.username}:none@{quote(folder, safe='')}:{port}{parts.path}"


def copy(backend: str, tables: list[str]) -> dict[str, int]:
    """Copy tables, and replace what is there; return the rows by table, those of dlt's own too."""
    pipeline = dlt.pipeline(
        "peer",
        destination=dlt.destinations.postgres(with_host(os.environ["WAREHOUSE_URL"])),
        dataset_name="totesys",
    )
    url = os.environ["TOTESYS_URL"]
    # What its documentation recommends for large tables.
    options = {"conn": with_host(url), "return_type": "arrow_stream"} if backend == "connectorx" else {}
    source = sql_database(url, table_names=tables, backend=backend, chunk_size=CHUNK, backend_kwargs=options)
    pipeline.run(source, write_disposition="replace", loader_file_format="csv")
    rows: dict[str, int] = pipeline.last_trace.last_normalize_info.row_counts
    return rows


def main() -> None:
    """Copy, and print what it took."""
    # With telemetry off, dlt sends nothing, but still writes the id that it would send into the user's folder.
    anon_tracker.get_anonymous_id = lambda: ""
    backend, *tables = sys.argv[1:]
    wall, cpu = time.perf_counter(), time.process_time()
    rows = copy(backend, tables)
    took = {
        "version": dlt.__version__,
        "seconds": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "rows": sum(rows[table] for table in tables),
    }
    sys.stdout.write(json.dumps(took))


if __name__ == "__main__":
    main()
