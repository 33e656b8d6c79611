"""What the page of purchases must answer."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction

from totes_dagster_tests.integration.dashboard.chosen import (
    Answer,
    Chosen,
    added,
    grouped,
    largest_first,
    month_of,
    ratio,
)
from totes_dagster_tests.integration.metrics.expected import Row, rounded


def _purchases_headline(chosen: Chosen) -> Answer:
    return [
        {
            "spend": added(row["money"] for row in chosen.purchases),
            "orders": len(chosen.purchases),
            "items": sum(row["items"] for row in chosen.purchases),
            "suppliers": len({row["supplier_id"] for row in chosen.purchases}),
            "unconverted": sum(row["money"] is None for row in chosen.purchases),
        }
    ]


def _by_supplier(chosen: Chosen) -> list[tuple[Decimal | None, int, list[Row]]]:
    sums = [
        (added(row["money"] for row in rows), supplier, rows)
        for supplier, rows in grouped(chosen.purchases, lambda row: row["supplier_id"]).items()
    ]
    return sorted(sums, key=lambda each: (largest_first(each[0]), each[1]))


def _spend(chosen: Chosen) -> Answer:
    largest = {supplier for _, supplier, _ in _by_supplier(chosen)[:4]}

    def named(row: Row) -> str:
        return row["supplier"] if row["supplier_id"] in largest else "All others"

    groups = grouped(chosen.purchases, lambda row: (month_of(row["created"]), named(row)))
    answer = [
        {
            "month": month,
            "supplier": supplier,
            "orders": len(rows),
            "spend": added(row["money"] for row in rows),
            "unconverted": sum(row["money"] is None for row in rows),
        }
        for (month, supplier), rows in groups.items()
    ]
    return sorted(answer, key=lambda row: (row["month"], largest_first(row["spend"]), row["supplier"]))


def _suppliers(chosen: Chosen) -> Answer:
    whole = added(row["money"] for row in chosen.purchases)
    return [
        {
            "counterparty_id": supplier,
            "counterparty_legal_name": rows[0]["supplier"],
            "country": rows[0]["supplier_of"],
            "orders": len(rows),
            "spend": money,
            "share": ratio(money, whole, 1, times=100),
        }
        for money, supplier, rows in _by_supplier(chosen)
    ]


def _prices(chosen: Chosen) -> Answer:
    answer = []
    bought = [row for row in chosen.purchases if row["money"] is not None and row["items"] > 0]
    for item, rows in grouped(bought, lambda row: row["item_code"]).items():
        prices = sorted(Fraction(row["money"]) / row["items"] for row in rows)
        if len(prices) < 3:
            continue
        middle = len(prices) // 2
        answer.append(
            {
                "item_code": item,
                "orders": len(prices),
                "lowest": rounded(prices[0], 2),
                "median": rounded(prices[middle] if len(prices) % 2 else sum(prices[middle - 1 : middle + 1]) / 2, 2),
                "highest": rounded(prices[-1], 2),
                "times": ratio(prices[-1], prices[0], 2),
            }
        )
    return sorted(answer, key=lambda row: (largest_first(row["times"]), row["item_code"]))[:200]


def _buyers(chosen: Chosen) -> Answer:
    answer = [
        {
            "staff_id": staff,
            "department_name": rows[0]["department"],
            "location": rows[0]["works_in"],
            "orders": len(rows),
            "spend": added(row["money"] for row in rows),
            "buyer": f"No. {staff}, {rows[0]['department']}",
        }
        for staff, rows in grouped(chosen.purchases, lambda row: row["staff_id"]).items()
    ]
    return sorted(answer, key=lambda row: (largest_first(row["spend"]), row["staff_id"]))


ANSWERS: Mapping[str, Callable[[Chosen], Answer]] = {
    "headline": _purchases_headline,
    "spend": _spend,
    "suppliers": _suppliers,
    "prices": _prices,
    "buyers": _buyers,
}
"""By the names of the questions."""
