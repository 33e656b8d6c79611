"""Dimensions show the latest values of whatever they are made of, and have a member for every reference."""

import pytest

from totes_dagster_tests.world import NEW_DEAL, World, of_the_older_source


@pytest.mark.parametrize(
    ("change", "query"),
    [
        (
            "update department set location = 'Atlantis' where department_id = (select min(department_id) from staff)",
            "select count(*) > 0 from dim_staff where location = 'Atlantis'",
        ),
        (
            "update department set location = null",
            "select bool_and(location = 'Unknown') from dim_staff",
        ),
        (
            "update department set location = ''",
            "select bool_and(location = '') from dim_staff",
        ),
        (
            "update address set city = 'Atlantis' where address_id = (select min(legal_address_id) from counterparty)",
            "select count(*) > 0 from dim_counterparty join dim_location on city = counterparty_legal_city "
            "where city = 'Atlantis'",
        ),
        (
            "update currency set currency_code = 'JPY' where currency_id = 1",
            "select currency_name = 'Japanese Yen' from dim_currency where currency_id = 1",
        ),
    ],
    ids=["department", "department without a place", "department with an empty place", "address", "currency"],
)
def test_a_change_of_one_reference_table_reaches_every_dimension_made_of_it(
    company: World, change: str, query: str
) -> None:
    company.change(change)
    company.refresh()
    assert company.wrongs(strict=True) == []
    assert company.ask_one(query)
    assert company.has_arrived()


def test_dates_of_new_years_let_the_calendar_grow_by_whole_years(company: World) -> None:
    company.change("update payment set payment_date = '2031-02-28' where payment_id = 1")
    company.change("update purchase_order set created_at = '2019-12-31 23:59:59.999' where purchase_order_id = 1")
    company.refresh()
    assert company.wrongs(strict=True) == []
    assert company.ask("select min(date_id)::text, max(date_id)::text, count(*) from dim_date") == [
        ("2019-01-01", "2031-12-31", 13 * 365 + 3)
    ]
    assert company.ask_one("select created_time::text from current_purchase_order where purchase_order_id = 1") == (
        "23:59:59.999"
    )


@of_the_older_source
def test_a_dimension_member_deleted_in_the_source_stays_for_the_history(company: World) -> None:
    (design,) = company.ask("select * from dim_design where design_id = 1")
    company.change("delete from design where design_id = 1")
    company.refresh()
    assert company.wrongs() == []
    assert company.ask("select * from dim_design where design_id = 1") == [design]
    assert company.has_arrived()


# References that point nowhere


@of_the_older_source
def test_an_order_of_a_design_to_come_gets_a_placeholder_until_it_comes(company: World) -> None:
    company.change("update sales_order set design_id = 999999 where sales_order_id = 7")
    (loaded,) = company.refresh().loaded
    assert loaded.tables["dim_design"].placeholders == 1
    assert company.wrongs(strict=True) == []
    assert company.ask("select * from dim_design where design_id = 999999") == [
        (999999, "Unknown", "Unknown", "Unknown")
    ]
    company.change("insert into design values (999999, now(), 'Late', '/late', 'late.json', now())")
    company.refresh()
    assert company.wrongs(strict=True) == []
    assert company.ask_one("select design_name from dim_design where design_id = 999999") == "Late"
    assert company.versions("fact_sales_order", 7) == ["live", "live"]


@of_the_older_source
def test_a_payment_in_advance_gets_a_placeholder_until_its_transaction_comes(company: World) -> None:
    order, transaction, payment = NEW_DEAL
    company.change(payment)
    company.refresh()
    assert company.wrongs(strict=True) == []
    assert company.ask("select * from dim_transaction where transaction_id = 1000") == [(1000, "Unknown", None, None)]
    company.change(order, transaction)
    company.refresh()
    assert company.wrongs(strict=True) == []
    assert company.ask("select * from dim_transaction where transaction_id = 1000") == [(1000, "SALE", 1000, None)]
    assert company.versions("fact_payment", 1000) == ["live"]


@of_the_older_source
def test_references_that_point_nowhere_in_the_first_batch_get_placeholders_too(unseen_company: World) -> None:
    unseen_company.change("update sales_order set design_id = 999999", "delete from transaction")
    unseen_company.refresh()
    assert unseen_company.wrongs(strict=True) == []
