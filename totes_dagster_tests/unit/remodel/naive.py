"""The eleven star tables computed row by row in plain Python: slow, and plain to see that it is right.

Also which source rows cannot become rows of a star table, whatever they hold.
"""

import re
from collections import Counter
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import Any

from babel import Locale

Rows = list[dict[str, Any]]

_CURRENCIES = Locale("en").currencies
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January February March April May June July August September October November December".split()  # noqa: SIM905
)


NULLABLE = {
    "dim_location": {"address_line_2", "district"},
    "dim_counterparty": {"counterparty_legal_address_line_2", "counterparty_legal_district"},
    "dim_transaction": {"sales_order_id", "purchase_order_id"},
}
"""The columns of star tables that may be null."""

UNUSED = {
    "counterparty": {"commercial_contact", "delivery_contact"},
    "department": {"manager"},
    "payment": {"company_ac_number", "counterparty_ac_number"},
}
"""The columns of source tables that no star table is made of, besides the stamps of all but orders and payments."""

LOOKED_UP = {"dim_counterparty": "legal_address_id", "dim_staff": "department_id"}
"""The columns that values of another table are looked up by."""

_EVENTS_WITH_STAMPS = {"sales_order", "purchase_order", "payment"}
_DAY = 86_400_000_000  # microseconds


def _stamps(row: dict[str, Any]) -> dict[str, Any]:
    created, updated = day_and_time(row["created_at"]), day_and_time(row["last_updated"])
    return {
        "created_date": created[0],
        "created_time": created[1],
        "last_updated_date": updated[0],
        "last_updated_time": updated[1],
    }


def day_and_time(moment: datetime | int | None) -> tuple[date | None, time | None]:
    """Of a moment that may be far from all that Python knows, and is then given in microseconds since 1970."""
    if moment is None:
        return None, None
    if isinstance(moment, datetime):
        return moment.date(), moment.time()
    days, rest = divmod(moment, _DAY)
    number = days + date(1970, 1, 1).toordinal()
    day = date.fromordinal(number) if 1 <= number <= date.max.toordinal() else None
    return day, (datetime(1970, 1, 1) + timedelta(microseconds=rest)).time()  # noqa: DTZ001 - as the source has it


def _date(text: str | None) -> date | None:
    if text is None or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _known(value: str | None) -> str:
    return "Unknown" if value is None else value


def _pick(row: dict[str, Any], names: str) -> dict[str, Any]:
    return {name: row[name] for name in names.split()}


def dim_counterparty(counterparty: Rows, address: Rows) -> Rows:
    addresses = {row["address_id"]: row for row in address}
    nowhere: dict[str, Any] = {}
    result = []
    for row in counterparty:
        legal = addresses.get(row["legal_address_id"], nowhere)
        result.append(
            {
                **_pick(row, "counterparty_id counterparty_legal_name"),
                "counterparty_legal_address_line_1": _known(legal.get("address_line_1")),
                "counterparty_legal_address_line_2": legal.get("address_line_2"),
                "counterparty_legal_district": legal.get("district"),
                "counterparty_legal_city": _known(legal.get("city")),
                "counterparty_legal_postal_code": _known(legal.get("postal_code")),
                "counterparty_legal_country": _known(legal.get("country")),
                "counterparty_legal_phone_number": _known(legal.get("phone")),
            }
        )
    return result


def dim_currency(currency: Rows) -> Rows:
    return [
        {
            **_pick(row, "currency_id currency_code"),
            "currency_name": _CURRENCIES.get((row["currency_code"] or "").strip().upper(), row["currency_code"]),
        }
        for row in currency
    ]


def dim_design(design: Rows) -> Rows:
    return [_pick(row, "design_id design_name file_location file_name") for row in design]


def dim_location(address: Rows) -> Rows:
    names = "address_line_1 address_line_2 district city postal_code country phone"
    return [{"location_id": row["address_id"], **_pick(row, names)} for row in address]


def dim_payment_type(payment_type: Rows) -> Rows:
    return [_pick(row, "payment_type_id payment_type_name") for row in payment_type]


def dim_staff(staff: Rows, department: Rows) -> Rows:
    departments = {row["department_id"]: row for row in department}
    result = []
    for row in staff:
        works_in = departments.get(row["department_id"], {})
        result.append(
            {
                **_pick(row, "staff_id first_name last_name"),
                "department_name": _known(works_in.get("department_name")),
                "location": _known(works_in.get("location")),
                "email_address": row["email_address"],
            }
        )
    return result


def dim_transaction(transaction: Rows) -> Rows:
    return [_pick(row, "transaction_id transaction_type sales_order_id purchase_order_id") for row in transaction]


def fact_sales_order(sales_order: Rows) -> Rows:
    return [
        {
            "sales_order_id": row["sales_order_id"],
            **_stamps(row),
            "sales_staff_id": row["staff_id"],
            **_pick(row, "counterparty_id units_sold unit_price currency_id design_id"),
            "agreed_payment_date": _date(row["agreed_payment_date"]),
            "agreed_delivery_date": _date(row["agreed_delivery_date"]),
            "agreed_delivery_location_id": row["agreed_delivery_location_id"],
        }
        for row in sales_order
    ]


def fact_purchase_order(purchase_order: Rows) -> Rows:
    return [
        {
            "purchase_order_id": row["purchase_order_id"],
            **_stamps(row),
            **_pick(row, "staff_id counterparty_id item_code item_quantity item_unit_price currency_id"),
            "agreed_delivery_date": _date(row["agreed_delivery_date"]),
            "agreed_payment_date": _date(row["agreed_payment_date"]),
            "agreed_delivery_location_id": row["agreed_delivery_location_id"],
        }
        for row in purchase_order
    ]


def fact_payment(payment: Rows) -> Rows:
    return [
        {
            "payment_id": row["payment_id"],
            **_stamps(row),
            **_pick(row, "transaction_id counterparty_id payment_amount currency_id payment_type_id paid"),
            "payment_date": _date(row["payment_date"]),
        }
        for row in payment
    ]


def dim_date(days: list[date]) -> Rows:
    day, last = date(min(days).year, 1, 1), date(max(days).year, 12, 31)
    result = []
    while True:
        result.append(
            {
                "date_id": day,
                "year": day.year,
                "month": day.month,
                "day": day.day,
                "day_of_week": day.isoweekday(),
                "day_name": _DAYS[day.weekday()],
                "month_name": _MONTHS[day.month - 1],
                "quarter": (day.month + 2) // 3,
            }
        )
        if day == last:  # the day after the last there is, is none
            return result
        day += timedelta(days=1)


FUNCTIONS: dict[str, Callable[..., Rows]] = {
    function.__name__: function
    for function in (
        dim_location,
        dim_counterparty,
        dim_currency,
        dim_design,
        dim_payment_type,
        dim_staff,
        dim_transaction,
        fact_sales_order,
        fact_purchase_order,
        fact_payment,
    )
}


def judged(star: str, inputs: dict[str, Rows]) -> tuple[Rows, list[int]]:
    """The rows of a star table that its source rows make, and the places of the source rows that cannot become any.

    Args:
        star: any star table but dim_date.
        inputs: rows by source table, in the order of the function's parameters; each may tell in `unfit` which of its
            values are not what they say.
    """
    (source, driving), *lookups = inputs.items()
    sound: list[Rows] = []
    unsound: set[int] = set()
    for name, rows in lookups:
        keys = Counter(row[f"{name}_id"] for row in rows)
        unsound |= {row[f"{name}_id"] for row in rows if _is_unfit(name, row) or keys[row[f"{name}_id"]] > 1} - {None}
        sound.append([row for row in rows if row[f"{name}_id"] not in unsound | {None}])
    made = FUNCTIONS[star](driving, *sound)
    key = next(iter(made[0])) if made else ""
    copies = Counter(row[key] for row in made)
    aside = [
        place
        for place, row in enumerate(made)
        if _is_unfit(source, driving[place])
        or driving[place].get(LOOKED_UP.get(star, "")) in unsound
        or copies[row[key]] > 1
        or not _is_sound(star, row)
    ]
    return [row for place, row in enumerate(made) if place not in aside], aside


def _is_unfit(source: str, row: dict[str, Any]) -> bool:
    unused = UNUSED.get(source, set()) | (set() if source in _EVENTS_WITH_STAMPS else {"created_at", "last_updated"})
    return bool(row.get("unfit", {}).keys() - unused)


def _is_sound(star: str, row: dict[str, Any]) -> bool:
    missing = {name for name, value in row.items() if value is None}
    return missing <= NULLABLE.get(star, set()) and not any("\x00" in str(value) for value in row.values())
