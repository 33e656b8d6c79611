create table fact_exchange_rate (
    exchange_rate_record_id bigserial primary key,
    quote_code varchar not null,
    rate_date date not null,
    rate numeric(18, 8) not null,
    is_deleted boolean not null default false,
    batch bigint not null
);
create index fact_exchange_rate_newest_idx
    on fact_exchange_rate (quote_code, rate_date, batch desc, exchange_rate_record_id desc);
create view current_exchange_rate as
select * from (
    select distinct on (quote_code, rate_date) * from fact_exchange_rate
    order by quote_code, rate_date, batch desc, exchange_rate_record_id desc) as newest
where not is_deleted;

create table fact_shipment (
    shipment_record_id bigserial primary key,
    sales_order_id integer not null,
    delivered_at timestamp without time zone not null,
    delivered_date date not null,
    units integer not null,
    is_deleted boolean not null default false,
    batch bigint not null
);
create index fact_shipment_newest_idx
    on fact_shipment (sales_order_id, delivered_at, batch desc, shipment_record_id desc);
create view current_shipment as
select * from (
    select distinct on (sales_order_id, delivered_at) * from fact_shipment
    order by sales_order_id, delivered_at, batch desc, shipment_record_id desc) as newest
where not is_deleted;

create table fact_sales_target (
    sales_target_record_id bigserial primary key,
    month date not null,
    department_name varchar not null,
    amount_gbp numeric(14, 2) not null,
    decided_on date,
    is_deleted boolean not null default false,
    batch bigint not null
);
create index fact_sales_target_newest_idx
    on fact_sales_target (month, department_name, batch desc, sales_target_record_id desc);
create view current_sales_target as
select * from (
    select distinct on (month, department_name) * from fact_sales_target
    order by month, department_name, batch desc, sales_target_record_id desc) as newest
where not is_deleted;

create table rate_on_day (
    date_id date not null,
    currency_id integer not null,
    currency_code varchar not null,
    per_eur numeric(18, 8),
    gbp_per_eur numeric(18, 8),
    rate_date date,
    primary key (date_id, currency_id)
);

create table feed_history (
    feed varchar not null,
    batch bigint not null,
    taken_at timestamp with time zone not null,
    loaded_at timestamp with time zone not null default clock_timestamp(),
    manifest_sha256 varchar not null,
    counts jsonb not null,
    primary key (feed, batch)
);

create table feed_file (
    feed varchar not null,
    path varchar not null,
    version varchar not null,
    sha256 varchar not null,
    bytes bigint not null,
    landed_at timestamp with time zone not null,
    rows bigint not null,
    refused varchar,
    repeats varchar,
    batch bigint not null,
    primary key (feed, path)
);

create table feed_quarantine (
    feed varchar not null,
    path varchar not null,
    line bigint not null,
    key varchar,
    reason varchar not null,
    batch bigint not null
);
alter table feed_quarantine replica identity full; -- has no key; see 0005
create index feed_quarantine_feed_path_idx on feed_quarantine (feed, path);
