-- The warehouse as it first was. Everything is made only where it is not there yet, so that a warehouse which already
-- has the plain tables, empty or not, is adopted: it gains what the platform adds, and keeps all that it holds.

create table if not exists dim_date (
    date_id date primary key,
    year integer not null,
    month integer not null,
    day integer not null,
    day_of_week integer not null,
    day_name varchar not null,
    month_name varchar not null,
    quarter integer not null
);

create table if not exists dim_location (
    location_id integer primary key,
    address_line_1 varchar not null,
    address_line_2 varchar,
    district varchar,
    city varchar not null,
    postal_code varchar not null,
    country varchar not null,
    phone varchar not null
);

create table if not exists dim_counterparty (
    counterparty_id integer primary key,
    counterparty_legal_name varchar not null,
    counterparty_legal_address_line_1 varchar not null,
    counterparty_legal_address_line_2 varchar,
    counterparty_legal_district varchar,
    counterparty_legal_city varchar not null,
    counterparty_legal_postal_code varchar not null,
    counterparty_legal_country varchar not null,
    counterparty_legal_phone_number varchar not null
);

create table if not exists dim_currency (
    currency_id integer primary key,
    currency_code varchar not null,
    currency_name varchar not null
);

create table if not exists dim_design (
    design_id integer primary key,
    design_name varchar not null,
    file_location varchar not null,
    file_name varchar not null
);

create table if not exists dim_payment_type (
    payment_type_id integer primary key,
    payment_type_name varchar not null
);

create table if not exists dim_staff (
    staff_id integer primary key,
    first_name varchar not null,
    last_name varchar not null,
    department_name varchar not null,
    location varchar not null,
    email_address varchar not null
);

create table if not exists dim_transaction (
    transaction_id integer primary key,
    transaction_type varchar not null,
    sales_order_id integer,
    purchase_order_id integer
);

create table if not exists fact_sales_order (
    sales_record_id serial primary key,
    sales_order_id integer not null,
    created_date date not null references dim_date,
    created_time time without time zone not null,
    last_updated_date date not null references dim_date,
    last_updated_time time without time zone not null,
    sales_staff_id integer not null references dim_staff,
    counterparty_id integer not null references dim_counterparty,
    units_sold integer not null,
    unit_price numeric(10, 2) not null,
    currency_id integer not null references dim_currency,
    design_id integer not null references dim_design,
    agreed_payment_date date not null references dim_date,
    agreed_delivery_date date not null references dim_date,
    agreed_delivery_location_id integer not null references dim_location,
    is_deleted boolean not null default false,
    batch bigint not null
);

alter table fact_sales_order add column if not exists is_deleted boolean not null default false;
alter table fact_sales_order add column if not exists batch bigint not null default 0; -- rows that no batch brought
alter table fact_sales_order alter column batch drop default;
select setval(pg_get_serial_sequence('fact_sales_order', 'sales_record_id'), max(sales_record_id)) from fact_sales_order having max(sales_record_id) is not null;
create index if not exists fact_sales_order_newest_idx on fact_sales_order (sales_order_id, sales_record_id desc);
create or replace view current_sales_order as
select * from (select distinct on (sales_order_id) * from fact_sales_order order by sales_order_id, sales_record_id desc) as newest
where not is_deleted;

create table if not exists fact_purchase_order (
    purchase_record_id serial primary key,
    purchase_order_id integer not null,
    created_date date not null references dim_date,
    created_time time without time zone not null,
    last_updated_date date not null references dim_date,
    last_updated_time time without time zone not null,
    staff_id integer not null references dim_staff,
    counterparty_id integer not null references dim_counterparty,
    item_code varchar not null,
    item_quantity integer not null,
    item_unit_price numeric(10, 2) not null,
    currency_id integer not null references dim_currency,
    agreed_delivery_date date not null references dim_date,
    agreed_payment_date date not null references dim_date,
    agreed_delivery_location_id integer not null references dim_location,
    is_deleted boolean not null default false,
    batch bigint not null
);

alter table fact_purchase_order add column if not exists is_deleted boolean not null default false;
alter table fact_purchase_order add column if not exists batch bigint not null default 0; -- rows that no batch brought
alter table fact_purchase_order alter column batch drop default;
select setval(pg_get_serial_sequence('fact_purchase_order', 'purchase_record_id'), max(purchase_record_id)) from fact_purchase_order having max(purchase_record_id) is not null;
create index if not exists fact_purchase_order_newest_idx on fact_purchase_order (purchase_order_id, purchase_record_id desc);
create or replace view current_purchase_order as
select * from (select distinct on (purchase_order_id) * from fact_purchase_order order by purchase_order_id, purchase_record_id desc) as newest
where not is_deleted;

create table if not exists fact_payment (
    payment_record_id serial primary key,
    payment_id integer not null,
    created_date date not null references dim_date,
    created_time time without time zone not null,
    last_updated_date date not null references dim_date,
    last_updated_time time without time zone not null,
    transaction_id integer not null references dim_transaction,
    counterparty_id integer not null references dim_counterparty,
    payment_amount numeric(10, 2) not null,
    currency_id integer not null references dim_currency,
    payment_type_id integer not null references dim_payment_type,
    paid boolean not null,
    payment_date date not null references dim_date,
    is_deleted boolean not null default false,
    batch bigint not null
);

alter table fact_payment add column if not exists is_deleted boolean not null default false;
alter table fact_payment add column if not exists batch bigint not null default 0; -- rows that no batch brought
alter table fact_payment alter column batch drop default;
select setval(pg_get_serial_sequence('fact_payment', 'payment_record_id'), max(payment_record_id)) from fact_payment having max(payment_record_id) is not null;
create index if not exists fact_payment_newest_idx on fact_payment (payment_id, payment_record_id desc);
create or replace view current_payment as
select * from (select distinct on (payment_id) * from fact_payment order by payment_id, payment_record_id desc) as newest
where not is_deleted;

create table if not exists load_history (
    batch bigint primary key,
    snapshot_at timestamp with time zone not null,
    loaded_at timestamp with time zone not null default clock_timestamp(),
    manifest_sha256 varchar not null,
    tables jsonb not null
);
