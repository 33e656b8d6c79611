"""What `dagster dev` loads: the platform's definitions."""

from totes_dagster.orchestration.definitions import build_defs

__all__ = ["build_defs", "defs"]

defs = build_defs()
