create table quarantine (
    source_table varchar not null,
    source_key integer,
    reason varchar not null,
    batch bigint not null,
    part varchar not null
);
create index quarantine_source_table_idx on quarantine (source_table);
