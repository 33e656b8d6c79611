"""The platform's definitions, as `dagster dev` loads them; they are built in `orchestration/`."""

from totes_dagster.orchestration.definitions import build_defs

__all__ = ["build_defs", "defs"]

defs = build_defs()
