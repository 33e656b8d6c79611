"""Keeping `rate_on_day`: the exchange rate that holds on each day, for each currency."""

from psycopg import sql

from totes_dagster.schema.feeds import rate_on_day
from totes_dagster.schema.registry import CALENDAR, DIMENSIONS
from totes_dagster.warehouse.transaction import WarehouseTransaction

CARRIED_DAYS = 7
"""For how many days a rate holds if no newer one is published. The longest time without one, at Easter, is 4 days."""


def keep_rates(transaction: WarehouseTransaction) -> int:
    """Bring `rate_on_day` up to date with the rates, the calendar and the currencies; return how many rows changed.

    Rows that are right already are not touched.
    """
    return transaction.execute(
        sql.SQL(
            """
            with published as (
                select quote_code, rate_date, rate,
                       lead(rate_date, 1, 'infinity') over (partition by quote_code order by rate_date) as until
                from {current}
                union all
                select 'EUR', '-infinity', 1, 'infinity'),
            held as (
                select day.date_id, quote_code, rate,
                       case when quote_code = 'EUR' then day.date_id else rate_date end as rate_date
                from {calendar} as day join published
                     on day.date_id >= rate_date and day.date_id < until
                        and (quote_code = 'EUR' or day.date_id - rate_date <= {carried})),
            wanted as (
                select day.date_id, currency_id, currency_code, own.rate as per_eur, pound.rate as gbp_per_eur,
                       case when own.rate_date is not null and pound.rate_date is not null
                            then least(own.rate_date, pound.rate_date) end as rate_date
                from {calendar} as day cross join {currency} as currency
                left join held as own on own.date_id = day.date_id and own.quote_code = currency.currency_code
                left join held as pound on pound.date_id = day.date_id and pound.quote_code = 'GBP'),
            removed as (
                delete from {rates} as rate
                where not exists (select from wanted where (wanted.date_id, wanted.currency_id)
                                                           = (rate.date_id, rate.currency_id)))
            insert into {rates} as rate (date_id, currency_id, currency_code, per_eur, gbp_per_eur, rate_date)
            select date_id, currency_id, currency_code, per_eur, gbp_per_eur, rate_date from wanted
            on conflict (date_id, currency_id) do update
            set (currency_code, per_eur, gbp_per_eur, rate_date)
                = (excluded.currency_code, excluded.per_eur, excluded.gbp_per_eur, excluded.rate_date)
            where (rate.currency_code, rate.per_eur, rate.gbp_per_eur, rate.rate_date)
                  is distinct from
                  (excluded.currency_code, excluded.per_eur, excluded.gbp_per_eur, excluded.rate_date)
            """
        ).format(
            current=sql.Identifier(transaction.schema, "current_exchange_rate"),
            calendar=transaction.name_of(CALENDAR),
            currency=transaction.name_of(DIMENSIONS["dim_currency"]),
            rates=transaction.name_of(rate_on_day),
            carried=sql.Literal(CARRIED_DAYS),
        )
    )
