"""A chart draws one bar for each member."""

from totes_dagster.metrics.asking import Answer, AnswerColumn, ColumnType
from totes_dagster.metrics.chart import chart_of
from totes_dagster.metrics.registry import METRICS


def test_members_of_the_same_name_are_told_apart_by_their_key() -> None:
    columns = (
        AnswerColumn("design_id", ColumnType.INTEGER, "design"),
        AnswerColumn("design", ColumnType.TEXT, "design"),
        AnswerColumn("orders", ColumnType.INTEGER),
    )
    rows = [(1, "Ivory", 3), (2, "Ivory", 4), (3, "Teal", 1)]
    answer = Answer(METRICS["orders"], ("design",), columns, rows, "orders", None, "", None, None)
    (drawn,) = chart_of(answer).to_dict()["datasets"].values()
    assert [row["design"] for row in drawn] == ["Ivory (1)", "Ivory (2)", "Teal"]
