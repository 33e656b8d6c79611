"""What the page of sales must answer."""

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal

from totes_dagster_tests.integration.dashboard.chosen import (
    Answer,
    Chosen,
    added,
    grouped,
    in_percent,
    largest_first,
    month_of,
    ratio,
)
from totes_dagster_tests.integration.metrics.expected import Rows, percentile, rounded

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def _sales_headline(chosen: Chosen) -> Answer:
    priced = [row for row in chosen.sales if row["money"] is not None]
    return [
        {
            "net_sales": added(row["money"] for row in chosen.sales),
            "orders": len(chosen.sales),
            "units": sum(row["units"] for row in chosen.sales),
            "a_bag": _price(chosen.sales),
            "customers": len({row["customer_id"] for row in chosen.sales}),
            "unconverted": len(chosen.sales) - len(priced),
        }
    ]


def _price(rows: Rows) -> Decimal | None:
    priced = [row for row in rows if row["money"] is not None]
    return ratio(sum(row["money"] for row in priced), sum(row["units"] for row in priced), 4)


def _by_month(chosen: Chosen) -> Answer:
    groups = grouped(chosen.sales, lambda row: (month_of(row["created"]), row["currency"]))
    return [
        {
            "month": month,
            "currency": currency,
            "orders": len(rows),
            "units": sum(row["units"] for row in rows),
            "in_own_currency": sum(row["amount"] for row in rows),
            "net_sales": added(row["money"] for row in rows),
            "unconverted": sum(row["money"] is None for row in rows),
        }
        for (month, currency), rows in sorted(groups.items())
    ]


def _constant_rates(chosen: Chosen) -> Answer:
    answer = []
    for month, rows in sorted(grouped(chosen.sales, lambda row: month_of(row["created"])).items()):
        both = [
            (row["gbp"], chosen.facts.in_pounds(row["amount"], row["currency"], chosen.facts.as_of)) for row in rows
        ]
        compared = [pair for pair in both if None not in pair]
        answer.append(
            {
                "month": month,
                "orders": len(rows),
                "booked": sum(booked for booked, _ in compared) if compared else None,
                "constant": sum(constant for _, constant in compared if constant) if compared else None,
                "unconverted": len(both) - len(compared),
            }
        )
    return answer


def _countries(chosen: Chosen) -> Answer:
    delivered = grouped(chosen.sales, lambda row: row["delivered_to"])
    customers = grouped(chosen.sales, lambda row: row["customer_of"])
    answer = [
        {
            "country": country,
            "delivered": added(row["money"] for row in delivered[country]) if country in delivered else None,
            "customers": added(row["money"] for row in customers[country]) if country in customers else None,
            "units_delivered": sum(row["units"] for row in delivered[country]) if country in delivered else None,
            "orders_delivered": len(delivered[country]) if country in delivered else None,
        }
        for country in {*delivered, *customers}
    ]
    return sorted(answer, key=lambda row: (-(row["delivered"] or 0), row["country"]))


def _designs(chosen: Chosen) -> Answer:
    answer = []
    countries = grouped(chosen.sales, lambda row: row["delivered_to"])
    for country in sorted(
        countries, key=lambda name: (largest_first(added(r["money"] for r in countries[name])), name)
    ):
        sold = [
            {
                "country": country,
                "design_id": design,
                "design_name": rows[0]["design"],
                "units": sum(row["units"] for row in rows),
                "net_sales": added(row["money"] for row in rows),
                "a_bag": _price(rows),
            }
            for design, rows in grouped(countries[country], lambda row: row["design_id"]).items()
        ]
        best = sorted(sold, key=lambda row: (largest_first(row["net_sales"]), row["design_id"]))[:3]
        answer += [{**row, "place": place} for place, row in enumerate(best, 1)]
    return answer


def _departments(chosen: Chosen) -> Answer:
    whole = added(row["money"] for row in chosen.sales)
    answer = []
    for (department, place), rows in grouped(chosen.sales, lambda row: (row["department"], row["works_in"])).items():
        money, people = added(row["money"] for row in rows), len({row["staff_id"] for row in rows})
        answer.append(
            {
                "department_name": department,
                "location": place,
                "people": people,
                "orders": len(rows),
                "net_sales": money,
                "share": ratio(money, whole, 1, times=100),
                "each": ratio(money, people, 2),
            }
        )
    return sorted(answer, key=lambda row: (largest_first(row["net_sales"]), row["department_name"], row["location"]))


def _customers(chosen: Chosen) -> Answer:
    whole, so_far, answer = added(row["money"] for row in chosen.sales), Decimal(0), []
    sums = [
        (added(row["money"] for row in rows), customer, rows)
        for customer, rows in grouped(chosen.sales, lambda row: row["customer_id"]).items()
    ]
    for money, customer, rows in sorted(sums, key=lambda each: (largest_first(each[0]), each[1])):
        so_far += money or 0
        is_known = money is not None or so_far
        answer.append(
            {
                "counterparty_id": customer,
                "counterparty_legal_name": rows[0]["customer"],
                "orders": len(rows),
                "net_sales": money,
                "share": ratio(money, whole, 1, times=100),
                "cumulative_share": ratio(so_far, whole, 1, times=100) if is_known else None,
                "first_order": min(row["created"] for row in rows),
            }
        )
    return answer


def _hours(chosen: Chosen) -> Answer:
    groups = grouped(chosen.sales, lambda row: (row["created"].isoweekday(), row["hour"]))
    return [
        {
            "day_of_week": weekday,
            "day": WEEKDAYS[weekday - 1],
            "hour": hour,
            "orders": len(rows),
            "net_sales": added(row["money"] for row in rows),
        }
        for (weekday, hour), rows in sorted(groups.items())
    ]


def _lead_times(chosen: Chosen) -> Answer:
    promised = [{**row, "days": (row["agreed"] - row["created"]).days} for row in chosen.sales]
    answer = [
        {
            "country": country,
            "orders": len(rows),
            **{f"days_{tenths}0": percentile(tenths, "days")(rows) for tenths in (1, 5, 9)},
        }
        for country, rows in grouped(promised, lambda row: row["delivered_to"]).items()
    ]
    return sorted(answer, key=lambda row: (row["days_50"], row["country"]))


def _kept(chosen: Chosen) -> Answer:
    rows = [chosen.deliveries[row["id"]] for row in chosen.sales]
    known = [row for row in rows if row["promise"] in {"kept", "missed"}]
    answer = []
    for month, rows in sorted(grouped(known, lambda row: month_of(row["agreed"])).items()):
        kept = sum(row["promise"] == "kept" for row in rows)
        answer.append(
            {"month": month, "kept": kept, "missed": len(rows) - kept, "on_time": in_percent(kept, len(rows))}
        )
    return answer


def _reached(chosen: Chosen) -> Answer:
    filters = chosen.filters
    targets = [
        row
        for row in chosen.targets
        if (filters.since or date.min) <= row["day"] <= (filters.until or date.max)
        and filters.department in {None, row["department"]}
    ]
    answer = []
    for month, rows in sorted(grouped(targets, lambda row: row["day"]).items()):
        orders, without, target = (sum(row[name] for row in rows) for name in ("orders", "lost", "target"))
        sold = None if orders == without > 0 else sum(row["sold"] for row in rows)
        reached = ratio(sold, target, 4)
        answer.append(
            {
                "month": month,
                "target": target,
                "sold": sold,
                "reached": reached if reached is None else rounded(reached * 100, 2),
                "unconverted": without,
            }
        )
    return answer


ANSWERS: Mapping[str, Callable[[Chosen], Answer]] = {
    "headline": _sales_headline,
    "by-month": _by_month,
    "constant-rates": _constant_rates,
    "countries": _countries,
    "designs": _designs,
    "departments": _departments,
    "customers": _customers,
    "hours": _hours,
    "lead-times": _lead_times,
    "deliveries": _kept,
    "targets": _reached,
}
"""By the names of the questions."""
