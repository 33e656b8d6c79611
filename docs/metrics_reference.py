"""Writes the part of `docs/metrics.md` that the declarations of metrics say: `make reference`."""

from pathlib import Path

from totes_dagster.metrics.dimensions import DIMENSIONS
from totes_dagster.metrics.metric import Metric
from totes_dagster.metrics.registry import METRICS

PAGE = Path(__file__).parent / "metrics.md"

MARK = "<!-- The rest is written by `make reference`. -->\n"


def reference() -> str:
    """Every metric with its meaning, unit and splits, and every dimension with its meaning, as Markdown."""
    lines = [
        "",
        "## Metrics",
        "",
        "| metric | meaning | unit | computed from each | its day |",
        "|---|---|---|---|---|",
    ]
    lines += map(_row, METRICS.values())
    lines += ["", "## Splits", "", "| metrics | may be split by |", "|---|---|"]
    by_splits: dict[tuple[str, ...], list[str]] = {}
    for metric in METRICS.values():
        by_splits.setdefault(metric.splits, []).append(metric.name)
    lines += [f"| {_code(names)} | {_code(splits)} |" for splits, names in by_splits.items()]
    lines += ["", "| dimension | meaning |", "|---|---|"]
    lines += [f"| `{dimension.name}` | {dimension.meaning} |" for dimension in DIMENSIONS.values()]
    return "\n".join(lines) + "\n"


def page() -> str:
    """The whole page, as it should be."""
    head, mark, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    return head + mark + reference()


def _row(metric: Metric) -> str:
    unit = str(metric.unit) if metric.additive else f"{metric.unit}; does not add up"
    return f"| `{metric.name}` | {metric.meaning} | {unit} | {metric.rows.grain} | {metric.rows.day_meaning} |"


def _code(names: list[str] | tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
