-- Numbers of attributes in buckets of time. `edges` are where buckets begin; `g` says which origins are put together.

-- Whether all that was stored is marked.
-- name: all_is_marked
select coalesce(bool_and(seq is not distinct from marked_seq), false) from telemetry_progress where source = 'sensors';

-- From readings alone. What is no number is left out, and one with a huge exponent, too, for its sum would be of no use.
-- name: from_readings
select n.metric, g.together, width_bucket(r.at, $4::timestamptz[]) as bucket,
  count(*) as n, sum(x.value) as sum, min(x.value) as least, max(x.value) as greatest
from readings r
  join unnest($7::integer[], $8::integer[]) as g (origin, together) on g.origin = r.origin
  cross join lateral unnest($5::text[], $6::text[]) with ordinality as n (attribute, devtype, metric)
  join reading_series s on s.id = r.series and (n.devtype = '' or n.devtype = s.devtype)
  cross join lateral (select r.v ->> n.attribute as text) t
  cross join lateral (
    select case when t.text ~ '^-?[0-9]{1,30}([.][0-9]{1,30})?([eE][+-]?[0-9]{1,2})?$' then t.text::numeric end as value
  ) x
where r.series = any($1) and r.at >= $2 and r.at < $3 and x.value is not null
group by 1, 2, 3 order by 1, 3, 2 limit $9;

-- From rollups, save where readings came since, or where no whole cell lies in a bucket: from readings there. All of it is
-- seen at one moment, so a reading is in one of them. `offset 0` has each part walk along its index.
-- name: from_rollups
with g as materialized (
  select g.origin, g.together, o.series, o.raw_since, s.devtype
  from unnest($5::integer[], $6::integer[]) as g (origin, together)
    join reading_origins o on o.id = g.origin join reading_series s on s.id = o.series
),
metrics as materialized (
  select * from unnest($7::text[], $8::text[]) with ordinality as n (attribute, devtype, metric)
),
fresh as materialized (
  select g.origin, m.hour from g join rollup_marks m on m.origin = g.origin
  where m.hour > $1::timestamptz - interval '1 hour' and m.hour < $2 and m.hour >= g.raw_since
  union
  select g.origin, m.hour from rollup_marks m cross join g
  where m.origin = 0 and m.hour > $1::timestamptz - interval '1 hour' and m.hour < $2 and m.hour >= g.raw_since
),
loose as materialized (
  select origin, hour from fresh union select g.origin, t.hour from g cross join unnest($4::timestamptz[]) as t (hour)
),
days as materialized (
  select at, until from unnest($9::timestamptz[], $10::timestamptz[]) as d (at, until)
),
fresh_days as materialized (
  select distinct f.origin, d.at, d.until
  from fresh f join days d on f.hour < d.until and f.hour + interval '1 hour' > d.at
),
spans as (
  select g.origin, s.since, s.until from g cross join unnest($11::timestamptz[], $12::timestamptz[]) as s (since, until)
  union all
  select origin, at, until from fresh_days
),
parts as (
  select n.metric, g.together, y.at, y.n, y.sum, y.least, y.greatest
  from g join metrics n on n.devtype = '' or n.devtype = g.devtype
    cross join lateral (
      select y.* from reading_days y
      where y.origin = g.origin and y.attribute = n.attribute
        and y.at >= (select min(at) from days) and y.at < (select max(until) from days) offset 0
    ) y
  where not exists (select from fresh_days f where f.origin = g.origin and f.at = y.at)
  union all
  select n.metric, g.together, c.at, c.n, c.sum, c.least, c.greatest
  from spans p join g on g.origin = p.origin join metrics n on n.devtype = '' or n.devtype = g.devtype
    cross join lateral (
      select c.* from reading_hours c
      where c.origin = p.origin and c.attribute = n.attribute and c.at >= p.since and c.at < p.until offset 0
    ) c
  where not exists (
    select from loose l where l.origin = c.origin and l.hour = date_trunc('hour', c.at, 'UTC')
  )
  union all
  select n.metric, g.together, r.at, 1, x.value, x.value, x.value
  from loose l join g on g.origin = l.origin
    cross join lateral (
      select r.at, r.v from readings r
      where r.series = g.series and r.origin = g.origin
        and r.at >= greatest(l.hour, $1) and r.at < least(l.hour + interval '1 hour', $2) offset 0
    ) r
    join metrics n on n.devtype = '' or n.devtype = g.devtype
    cross join lateral (select r.v ->> n.attribute as text) t
    cross join lateral (
      select case when t.text ~ '^-?[0-9]{1,30}([.][0-9]{1,30})?([eE][+-]?[0-9]{1,2})?$' then t.text::numeric end
        as value
    ) x
  where x.value is not null
)
select metric, together, width_bucket(at, $3::timestamptz[]) as bucket,
  sum(n)::bigint as n, sum(sum) as sum, min(least) as least, max(greatest) as greatest
from parts group by 1, 2, 3 order by 1, 3, 2 limit $13;
