"""Facts against small rows written by hand."""

from datetime import date, datetime, time
from decimal import Decimal

from totes_dagster_tests.unit.remodel.remodelling import sound_rows


def test_a_sales_order_keeps_every_penny_and_millisecond() -> None:
    order = {
        "sales_order_id": 9,
        "created_at": datetime(2022, 11, 3, 14, 20, 52, 186000),  # noqa: DTZ001
        "last_updated": datetime(2024, 2, 29, 23, 59, 59, 999000),  # noqa: DTZ001
        "design_id": 3,
        "staff_id": 19,
        "counterparty_id": 8,
        "units_sold": 42972,
        "unit_price": Decimal("39421.07"),
        "currency_id": 2,
        "agreed_delivery_date": "2022-11-07",
        "agreed_payment_date": "2022-11-08",
        "agreed_delivery_location_id": 28,
    }
    expected = [
        {
            "sales_order_id": 9,
            "created_date": date(2022, 11, 3),
            "created_time": time(14, 20, 52, 186000),
            "last_updated_date": date(2024, 2, 29),
            "last_updated_time": time(23, 59, 59, 999000),
            "sales_staff_id": 19,
            "counterparty_id": 8,
            "units_sold": 42972,
            "unit_price": Decimal("39421.07"),
            "currency_id": 2,
            "design_id": 3,
            "agreed_payment_date": date(2022, 11, 8),
            "agreed_delivery_date": date(2022, 11, 7),
            "agreed_delivery_location_id": 28,
        }
    ]
    assert sound_rows("fact_sales_order", [order]).select(list(expected[0])).to_pylist() == expected
