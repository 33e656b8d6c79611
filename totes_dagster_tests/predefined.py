"""A warehouse that is not new: the predefined tables, and rows in them."""

PREDEFINED = """
    create table dim_date (date_id date primary key, year int not null, month int not null, day int not null,
        day_of_week int not null, day_name varchar not null, month_name varchar not null, quarter int not null);
    create table dim_staff (staff_id int primary key, first_name varchar not null, last_name varchar not null,
        department_name varchar not null, location varchar not null, email_address varchar not null);
    create table dim_location (location_id int primary key, address_line_1 varchar not null, address_line_2 varchar,
        district varchar, city varchar not null, postal_code varchar not null, country varchar not null,
        phone varchar not null);
    create table dim_currency (currency_id int primary key, currency_code varchar not null,
        currency_name varchar not null);
    create table dim_design (design_id int primary key, design_name varchar not null, file_location varchar not null,
        file_name varchar not null);
    create table dim_counterparty (counterparty_id int primary key, counterparty_legal_name varchar not null,
        counterparty_legal_address_line_1 varchar not null, counterparty_legal_address_line_2 varchar,
        counterparty_legal_district varchar, counterparty_legal_city varchar not null,
        counterparty_legal_postal_code varchar not null, counterparty_legal_country varchar not null,
        counterparty_legal_phone_number varchar not null);
    create table dim_payment_type (payment_type_id int primary key, payment_type_name varchar not null);
    create table dim_transaction (transaction_id int primary key, transaction_type varchar not null,
        sales_order_id int, purchase_order_id int);
    create table fact_sales_order (sales_record_id serial primary key, sales_order_id int not null,
        created_date date not null references dim_date, created_time time not null,
        last_updated_date date not null references dim_date, last_updated_time time not null,
        sales_staff_id int not null references dim_staff, counterparty_id int not null references dim_counterparty,
        units_sold int not null, unit_price numeric(10,2) not null, currency_id int not null references dim_currency,
        design_id int not null references dim_design, agreed_payment_date date not null references dim_date,
        agreed_delivery_date date not null references dim_date,
        agreed_delivery_location_id int not null references dim_location);
    create table fact_purchase_order (purchase_record_id serial primary key, purchase_order_id int not null,
        created_date date not null references dim_date, created_time time not null,
        last_updated_date date not null references dim_date, last_updated_time time not null,
        staff_id int not null references dim_staff, counterparty_id int not null references dim_counterparty,
        item_code varchar not null, item_quantity int not null, item_unit_price numeric(10,2) not null,
        currency_id int not null references dim_currency, agreed_delivery_date date not null references dim_date,
        agreed_payment_date date not null references dim_date,
        agreed_delivery_location_id int not null references dim_location);
    create table fact_payment (payment_record_id serial primary key, payment_id int not null,
        created_date date not null references dim_date, created_time time not null,
        last_updated_date date not null references dim_date, last_updated_time time not null,
        transaction_id int not null references dim_transaction,
        counterparty_id int not null references dim_counterparty, payment_amount numeric(10,2) not null,
        currency_id int not null references dim_currency, payment_type_id int not null references dim_payment_type,
        paid boolean not null, payment_date date not null references dim_date);
"""
"""The star schemas as they are given, without anything of ours."""

ROWS = """
    insert into dim_date select d, extract(year from d), extract(month from d), extract(day from d),
        extract(isodow from d), to_char(d, 'FMDay'), to_char(d, 'FMMonth'), extract(quarter from d)
        from generate_series(date '2020-01-01', '2020-12-31', '1 day') as d;
    insert into dim_staff select n, 'f', 'l', 'd', 'o', 'e' from generate_series(1, 3) as n;
    insert into dim_location select n, 'a', null, null, 'c', 'p', 'o', 't' from generate_series(1, 3) as n;
    insert into dim_currency values (1, 'GBP', 'Sterling'), (99, 'ZZZ', 'Of another time');
    insert into dim_design values (1, 'n', '/', 'f');
    insert into dim_counterparty values (1, 'n', 'a', null, null, 'c', 'p', 'o', 't');
    insert into dim_payment_type values (1, 'SALES_RECEIPT');
    insert into dim_transaction values (1, 'SALE', 1, null);
    insert into fact_sales_order
    select n, key, '2020-05-05', '01:02:03', '2020-05-05', '01:02:03', 1, 1, key, 1.50, 1, 1, '2020-06-06',
        '2020-06-06', 1
    from (values (11, 7), (12, 8), (13, 8), (14, 900000)) as old (n, key);
"""
"""Rows that were there before us: old versions of orders 7 and 8, and an order that the source never had."""
