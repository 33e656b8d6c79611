"""The page of the warehouse itself: how current it is, what batches and feeds brought, and what is missing."""

from psycopg.sql import SQL

from totes_dagster.dashboard.charts import lines, stacked
from totes_dagster.dashboard.question import Column, Kind, Page, Question

HEADLINE = Question(
    "headline",
    "Health",
    SQL("""
    select (select max(batch) from load_history) as batch,
           (select extract(epoch from loaded_at - snapshot_at) from load_history order by batch desc limit 1) as lag,
           (select percentile_disc(0.5) within group (order by extract(epoch from loaded_at - snapshot_at))
            from (select * from load_history order by batch desc limit 100) as newest) as usual_lag,
           (select count(*) from quarantine) as quarantined,
           (select count(*) from feed_quarantine) as quarantined_of_feeds,
           (select max(rate_date) from fact_exchange_rate) as newest_rate
    """),
    (
        Column("batch", "Newest batch", Kind.IDENTIFIER),
        Column("lag", "From snapshot to load", Kind.SECONDS),
        Column("usual_lag", "Usually (last 100)", Kind.SECONDS),
        Column("quarantined", "Rows in quarantine", Kind.NUMBER),
        Column("quarantined_of_feeds", "Of feeds", Kind.NUMBER),
        Column("newest_rate", "Newest rate", Kind.DAY),
    ),
)

FRESHNESS = Question(
    "freshness",
    "How soon does the warehouse show what is in the source?",
    SQL("""
    select batch, snapshot_at, loaded_at, round(extract(epoch from loaded_at - snapshot_at)::numeric, 2) as seconds
    from (select * from load_history order by batch desc limit 200) as newest
    order by batch
    """),
    (
        Column("batch", "Batch", Kind.IDENTIFIER),
        Column("snapshot_at", "Snapshot taken", Kind.TIME),
        Column("loaded_at", "Loaded", Kind.TIME),
        Column("seconds", "Seconds between", Kind.DECIMAL),
    ),
    lines("loaded_at", {"seconds": "seconds"}, "Seconds from the snapshot to the load", money=False),
    note="The newest 200 batches. A source in which nothing changes has no batches.",
    empty="No batch has been loaded yet.",
)

BATCHES = Question(
    "batches",
    "What did each batch bring?",
    SQL("""
    select batch, snapshot_at, sum((counts ->> 'ingested')::bigint) as ingested, sum((counts ->> 'new')::bigint) as new,
           sum((counts ->> 'changed')::bigint) as changed, sum((counts ->> 'deleted')::bigint) as deleted,
           sum((counts ->> 'unchanged')::bigint) as unchanged, sum((counts ->> 'quarantined')::bigint) as quarantined
    from (select * from load_history order by batch desc limit 60) as newest
    cross join lateral jsonb_each(tables) as loaded (star, counts)
    where star <> 'dim_date'
    group by 1, 2 order by 1
    """),
    (
        Column("batch", "Batch", Kind.IDENTIFIER),
        Column("snapshot_at", "As of", Kind.TIME),
        Column("ingested", "Rows ingested", Kind.NUMBER),
        Column("new", "New", Kind.NUMBER),
        Column("changed", "Changed", Kind.NUMBER),
        Column("deleted", "Deleted", Kind.NUMBER),
        Column("unchanged", "Unchanged", Kind.NUMBER),
        Column("quarantined", "Quarantined", Kind.NUMBER),
    ),
    stacked(
        "batch", {"new": "new", "changed": "changed", "deleted": "deleted"}, "Rows of star tables", skip_first=True
    ),
    note="The newest 60 batches, all star tables together but the calendar. The chart leaves out the first of "
    "them, which may have the whole source.",
    empty="No batch has been loaded yet.",
)

CHECKS = Question(
    "checks",
    "Is anything missing or made up?",
    SQL("""
    select checked, number, case when number > 0 then 'look' else 'good' end as verdict, meaning
    from (
        select 1 as place, 'Rows of the source in quarantine' as checked, count(*) as number,
               'They cannot become rows of the warehouse, which lacks them or shows an older version.' as meaning
        from quarantine
        union all
        select 2, 'Rows of feeds in quarantine', count(*), 'Rows of files that were not taken.' from feed_quarantine
        union all
        select 3, 'Files of feeds that were refused', count(*) filter (where refused is not null),
               'None of their rows was taken.' from feed_file
        union all
        select 4, 'Unknown designs', count(*), 'Orders name designs that the source does not have.'
        from dim_design where design_name = 'Unknown'
        union all
        select 5, 'Unknown customers and suppliers', count(*), 'Orders or payments name some that the source lacks.'
        from dim_counterparty where counterparty_legal_name = 'Unknown'
        union all
        select 6, 'Unknown transactions', count(*), 'Payments name transactions that the source does not have.'
        from dim_transaction where transaction_type = 'Unknown'
        union all
        select 7, 'Orders without an exchange rate', {unconverted}, 'They are in no amount in pounds.'
        from unconverted where kind in ('sales order', 'purchase order')) as checks
    order by place
    """),
    (
        Column("checked", "Check"),
        Column("number", "Found", Kind.NUMBER),
        Column("verdict", "Verdict"),
        Column("meaning", "What it means"),
    ),
    note="The checks of each run are in Dagster's UI. These are about the warehouse as it is now.",
)

QUARANTINE = Question(
    "quarantine",
    "Which rows are in quarantine, which files were refused, and why?",
    SQL("""
    (select source_table as comes_from, source_key::text as key, reason, batch
     from quarantine order by batch desc, source_table, source_key limit 200)
    union all
    (select 'feed ' || feed || ', ' || path, 'line ' || line, reason, batch
     from feed_quarantine order by batch desc, feed, path, line limit 200)
    union all
    (select 'feed ' || feed || ', ' || path, 'the whole file', refused, batch
     from feed_file where refused is not null order by batch desc, feed, path limit 200)
    """),
    (
        Column("comes_from", "Table or file"),
        Column("key", "Key or line"),
        Column("reason", "Reason"),
        Column("batch", "Batch", Kind.IDENTIFIER),
    ),
    note="At most 200 rows of the source, 200 of feeds, and 200 files. A row or a file leaves when it is corrected or "
    "deleted.",
    empty="No row is in quarantine, and no file is refused.",
)

FEEDS = Question(
    "feeds",
    "What did feeds bring, and when?",
    SQL("""
    select h.feed, max(h.batch) as batch, max(h.taken_at) as taken_at, f.files, f.rows, f.refused
    from feed_history as h
    left join (select feed, count(*) as files, sum(rows) as rows, count(refused) as refused
               from feed_file group by 1) as f on f.feed = h.feed
    group by 1, f.files, f.rows, f.refused order by 1
    """),
    (
        Column("feed", "Feed"),
        Column("batch", "Newest batch", Kind.IDENTIFIER),
        Column("taken_at", "Taken", Kind.TIME),
        Column("files", "Files", Kind.NUMBER),
        Column("rows", "Rows", Kind.NUMBER),
        Column("refused", "Files refused", Kind.NUMBER),
    ),
    note="Exchange rates, deliveries and targets come from feeds, and not from the source.",
    empty="No feed has brought anything yet. Without exchange rates, amounts in other currencies are not converted.",
)

PAGE = Page(
    "health",
    "Health",
    "How current the warehouse is, what batches and feeds brought, and what is missing.",
    HEADLINE,
    (FRESHNESS, BATCHES, CHECKS, QUARANTINE, FEEDS),
)
