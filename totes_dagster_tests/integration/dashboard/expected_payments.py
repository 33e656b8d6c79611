"""What the page of payments must answer."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal

from totes_dagster_tests.integration.dashboard.chosen import Answer, Chosen, added, grouped, in_percent, month_of
from totes_dagster_tests.integration.metrics.expected import Rows, percentile


def _owed(chosen: Chosen, type_: str, sign: int, rows: Rows) -> Decimal | None:
    return added(
        None if row["money"] is None else sign * row["sign"] * row["money"]
        for row in rows
        if row["transaction_type"] == type_
    )


def _payments_headline(chosen: Chosen) -> Answer:
    overdue = [row["money"] for row in chosen.open if row["late"] > 0]
    return [
        {
            "to_receive": _owed(chosen, "SALE", 1, chosen.open),
            "to_pay": _owed(chosen, "PURCHASE", -1, chosen.open),
            "overdue": added(overdue) if overdue else None,
            "open_payments": len(chosen.open),
            "payments": len(chosen.payments),
            "unconverted": sum(row["money"] is None for row in chosen.open),
        }
    ]


def _ageing(chosen: Chosen) -> Answer:
    known = [row for row in chosen.open if row["sign"]]
    answer = []
    for ageing in ("not due", "1 to 7 days", "8 to 30 days", "over 30 days"):
        rows = [row for row in known if row["ageing"] == ageing]
        sales, purchases = (sum(row["transaction_type"] == type_ for row in rows) for type_ in ("SALE", "PURCHASE"))
        if rows:
            answer.append(
                {
                    "ageing": ageing,
                    "sales": _owed(chosen, "SALE", 1, rows) if sales else None,
                    "purchases": _owed(chosen, "PURCHASE", -1, rows) if purchases else None,
                    "payments_for_sales": sales,
                    "payments_for_purchases": purchases,
                    "unconverted": sum(row["money"] is None for row in rows),
                }
            )
    return answer


def _late_payers(chosen: Chosen) -> Answer:
    due = [
        row
        for row in chosen.payments
        if row["payment_type"] == "SALES_RECEIPT"
        and row["transaction_type"] == "SALE"
        and row["due"] <= chosen.facts.as_of
    ]
    answer = [
        {
            "counterparty_id": customer,
            "counterparty_legal_name": rows[0]["customer"],
            "payments": len(rows),
            "late_share": in_percent(sum(row["late"] > 0 for row in rows), len(rows)),
            "days_50": percentile(5, "late")(rows),
            "days_90": percentile(9, "late")(rows),
        }
        for customer, rows in grouped(due, lambda row: row["customer_id"]).items()
    ]
    return sorted(answer, key=lambda row: (-row["late_share"], -row["payments"], row["counterparty_id"]))


def _next_and_last(chosen: Chosen) -> Answer:
    to_come = sorted((row["due"], row["id"]) for row in chosen.open if row["due"] >= chosen.facts.as_of)[:5]
    made = sorted(((row["paid_on"], row["id"]) for row in chosen.payments if row["paid"]), reverse=True)[:5]
    by_id = {row["id"]: row for row in chosen.payments}
    return [
        {
            "payment": payment,
            "payment_id": number,
            "transaction_type": by_id[number]["transaction_type"],
            "payment_type_name": by_id[number]["payment_type"],
            "day": day,
            "payment_amount": by_id[number]["amount"],
            "currency_code": by_id[number]["currency"],
        }
        for payment, found in (("comes next", to_come), ("came last", made))
        for day, number in found
    ]


def _to_come(chosen: Chosen) -> Answer:
    last = chosen.facts.as_of + timedelta(days=30)
    rows = [row for row in chosen.open if row["sign"] and chosen.facts.as_of <= row["due"] <= last]
    groups = grouped(rows, lambda row: (row["due"], "in" if row["sign"] > 0 else "out"))
    return [
        {
            "day": day,
            "direction": direction,
            "payments": len(rows),
            "net": added(None if row["money"] is None else row["sign"] * row["money"] for row in rows),
            "unconverted": sum(row["money"] is None for row in rows),
        }
        for (day, direction), rows in sorted(groups.items())
    ]


def _disagreements(chosen: Chosen) -> Answer:
    answer = []
    for kind, type_, orders, number in (
        ("a sale", "SALE", chosen.all_sales, "sales_order_id"),
        ("a purchase", "PURCHASE", chosen.all_purchases, "purchase_order_id"),
    ):
        compared = [(row, orders.get(row[number])) for row in chosen.payments if row["transaction_type"] == type_]
        if not compared:
            continue
        found = {
            "its order is deleted or missing": [row["id"] for row, order in compared if order is None],
            "the amount differs": [row["id"] for row, order in compared if order and row["amount"] != order["amount"]],
            "the currency differs": [
                row["id"] for row, order in compared if order and row["currency"] != order["currency"]
            ],
        }
        answer += [
            {
                "kind": kind,
                "reason": reason,
                "payments": len(payments),
                "examples": ", ".join(map(str, sorted(payments)[:5])),
            }
            for reason, payments in found.items()
        ]
    return answer


def _exchange(chosen: Chosen) -> Answer:
    made = [row for row in chosen.payments if row["paid"] and row["sign"]]
    groups = grouped(made, lambda row: (month_of(row["paid_on"]), row["transaction_type"]))
    answer = []
    for (month, type_), rows in groups.items():
        foreign = sum(row["currency"] != "GBP" for row in rows)
        if foreign:
            answer.append(
                {
                    "month": month,
                    "payments_for": "sales" if type_ == "SALE" else "purchases",
                    "payments": foreign,
                    "gain": added(row["gain"] for row in rows),
                    "unconverted": sum(row["gain"] is None for row in rows),
                }
            )
    return sorted(answer, key=lambda row: (row["month"], row["payments_for"]))


ANSWERS: Mapping[str, Callable[[Chosen], Answer]] = {
    "headline": _payments_headline,
    "ageing": _ageing,
    "late-payers": _late_payers,
    "next-and-last": _next_and_last,
    "to-come": _to_come,
    "disagreements": _disagreements,
    "exchange": _exchange,
}
"""By the names of the questions."""
