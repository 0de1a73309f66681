-- Rollups: which hours are to be rolled up, and how they are. How they are read is in summaries.sql.

-- Hours of the batch that is being stored. What a roller has locked is waited for: its mark may be about to go.
-- name: mark
insert into rollup_marks (origin, hour, generation)
select m.origin, to_timestamp(m.hour * 3600.0), $3
from unnest($1::integer[], $2::bigint[]) as m (origin, hour)
on conflict (origin, hour) do update set generation = excluded.generation
where rollup_marks.generation < excluded.generation;

-- All that is stored, for all origins.
-- name: mark_all
with hours as (
  select hour
  from pg_inherits i join pg_class c on c.oid = i.inhrelid
    cross join lateral (
      select to_date(substring(c.relname from '[0-9]{8}$'), 'YYYYMMDD')::timestamp at time zone 'UTC' as day
    ) d
    cross join lateral generate_series(d.day, d.day + interval '23 hours', interval '1 hour') as hour
  where i.inhparent = 'readings'::regclass and c.relname ~ '_[0-9]{8}$'
  union
  select date_trunc('hour', at, 'UTC') from readings_default
)
insert into rollup_marks (origin, hour, generation)
select 0, hour, $1 from hours
on conflict (origin, hour) do update set generation = greatest(rollup_marks.generation, excluded.generation);

-- Whether there is anything to roll up, and since when, without a lock.
-- name: first_marked
select min(hour) from rollup_marks where hour < $1;

-- From now on every batch is marked anew; each one before is committed, for it held this row.
-- name: begin_round
update telemetry_progress set generation = generation + 1 where source = 'sensors' returning generation;

-- The oldest day of marks for all origins.
-- name: lock_all_marks
select hour from rollup_marks
where origin = 0 and generation < $2 and hour < $1
  and hour < (
    select date_trunc('day', min(hour), 'UTC') + interval '1 day' from rollup_marks
    where origin = 0 and generation < $2 and hour < $1
  )
order by hour for update skip locked;

-- name: expand_all_marks
insert into rollup_marks (origin, hour, generation)
select distinct r.origin, date_trunc('hour', r.at, 'UTC'), 0
from readings r
where r.at >= $2 and r.at < $3 and date_trunc('hour', r.at, 'UTC') = any($1)
on conflict do nothing;

-- name: delete_all_marks
delete from rollup_marks where origin = 0 and hour = any($1);

-- name: lock_marks
select origin, hour from rollup_marks
where origin <> 0 and hour < $1 and generation < $2
order by hour, origin limit $3 for update skip locked;

-- name: origins_of_marks
select id, time_zone, cell_minutes, raw_since from reading_origins where id = any($1);

-- name: set_cells
update reading_origins o set cell_minutes = n.minutes
from unnest($1::integer[], $2::smallint[]) as n (id, minutes)
where o.id = n.id;

-- What the readings of these hours come to, cell by cell. Where `v` has an attribute twice the last one counts, as for
-- everyone who asks for it; an attribute that nobody can ask for is left out.
-- name: roll_hours
insert into reading_hours (at, origin, attribute, n, sum, least, greatest)
select c.at, b.origin, c.attribute, c.n, c.sum, c.least, c.greatest
from unnest($1::integer[], $2::timestamptz[]) as b (origin, hour)
  join reading_origins o on o.id = b.origin
  cross join lateral (
    select date_bin(make_interval(mins => o.cell_minutes), r.at, '1970-01-01Z') as at, a.key as attribute,
      count(*) as n, sum(x.value) as sum, min(x.value) as least, max(x.value) as greatest
    from readings r
      cross join lateral (
        select distinct on (e.key) e.key, e.value
        from json_each_text(r.v) with ordinality as e (key, value, place)
        where length(e.key) <= 64 order by e.key, e.place desc
      ) a
      cross join lateral (
        select case when a.value ~ '^-?[0-9]{1,30}([.][0-9]{1,30})?([eE][+-]?[0-9]{1,2})?$' then a.value::numeric end
          as value
      ) x
    where r.series = o.series and r.origin = b.origin and r.at >= b.hour and r.at < b.hour + interval '1 hour'
      and x.value is not null
    group by 1, 2
  ) c
on conflict (origin, attribute, at) do update
set n = excluded.n, sum = excluded.sum, least = excluded.least, greatest = excluded.greatest
where excluded.n >= reading_hours.n;

-- The days of these origins, made from their cells.
-- name: roll_days
insert into reading_days (at, until, origin, attribute, n, sum, least, greatest)
select d.at, d.until, d.origin, c.attribute, c.n, c.sum, c.least, c.greatest
from unnest($1::integer[], $2::timestamptz[], $3::timestamptz[]) as d (origin, at, until)
  cross join lateral (
    select h.attribute, sum(h.n)::integer as n, sum(h.sum) as sum, min(h.least) as least, max(h.greatest) as greatest
    from reading_hours h
    where h.origin = d.origin and h.at >= d.at and h.at < d.until
    group by 1
  ) c
on conflict (origin, attribute, at) do update
set until = excluded.until, n = excluded.n, sum = excluded.sum, least = excluded.least, greatest = excluded.greatest;

-- name: delete_marks
delete from rollup_marks m using unnest($1::integer[], $2::timestamptz[]) as b (origin, hour)
where (m.origin, m.hour) = (b.origin, b.hour);

-- Readings before then may go: whoever asks holds the row of the store, so that nothing is marked meanwhile.
-- name: lock_store
select from telemetry_progress where source = 'sensors' for update;

-- name: marked_before
select exists (
  select from rollup_marks m join reading_origins o on o.id = m.origin join reading_series s on s.id = o.series
  where m.hour < $1 and m.hour >= o.raw_since and ($2::text is null or s.property_id = $2)
  union all
  select from rollup_marks m where m.hour < $1 and m.origin = 0
);

-- name: settle_before
update reading_origins o set raw_since = $1
from reading_series s
where s.id = o.series and o.raw_since < $1 and ($2::text is null or s.property_id = $2);
