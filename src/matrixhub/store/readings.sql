-- Readings: how they are stored, and how they are found again. Every finder begins at the series of one property.

-- name: begin_progress
insert into telemetry_progress (source, seq, marked_seq, stream) values ('sensors', $1, $1, $2)
on conflict (source) do update set stream = excluded.stream where telemetry_progress.stream = '';

-- name: progress
select seq from telemetry_progress where source = 'sensors';

-- name: stream
select stream from telemetry_progress where source = 'sensors';

-- name: lock_progress
select seq, marked_seq, generation from telemetry_progress where source = 'sensors' for update;

-- name: save_progress
update telemetry_progress set seq = $1, marked_seq = $1 where source = 'sensors';

-- name: go_back
update telemetry_progress set seq = $1, marked_seq = $1, stream = $2 where source = 'sensors';

-- name: trusted
select trusted_at, clock_doubts from telemetry_progress where source = 'sensors' and trusted_at is not null;

-- name: save_trusted
update telemetry_progress set trusted_at = $1, clock_doubts = $2 where source = 'sensors';

-- name: retentions
select property_id, seconds from readings_retention;

-- name: properties
select distinct property_id from reading_series;

-- name: series_of_property
select array(select id from reading_series where property_id = $1);

-- name: add_series
insert into reading_series (property_id, slot_id, devtype)
select n.property_id, n.slot_id, n.devtype
from unnest($1::text[], $2::text[], $3::text[]) as n (property_id, slot_id, devtype)
where not exists (
  select from reading_series s
  where (s.property_id, s.slot_id, s.devtype) = (n.property_id, n.slot_id, n.devtype)
)
on conflict do nothing;

-- name: add_origins
insert into reading_origins (series, building_id, zone_id, time_zone, aggregates, fixed)
select s.id, n.building_id, n.zone_id, n.time_zone, n.aggregates, n.fixed
from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::boolean[], $8::text[])
    as n (property_id, slot_id, devtype, building_id, zone_id, time_zone, aggregates, fixed)
  join reading_series s on (s.property_id, s.slot_id, s.devtype) = (n.property_id, n.slot_id, n.devtype)
where not exists (
  select from reading_origins o
  where o.series = s.id and o.building_id = n.building_id and o.zone_id = n.zone_id and o.time_zone = n.time_zone
    and o.aggregates = n.aggregates and md5(o.fixed) = md5(n.fixed)
)
on conflict do nothing;

-- name: find_origins
select n.place, s.id as series, o.id as origin
from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::boolean[], $8::text[])
    with ordinality as n (property_id, slot_id, devtype, building_id, zone_id, time_zone, aggregates, fixed, place)
  join reading_series s on (s.property_id, s.slot_id, s.devtype) = (n.property_id, n.slot_id, n.devtype)
  join reading_origins o on o.series = s.id and o.building_id = n.building_id and o.zone_id = n.zone_id
    and o.time_zone = n.time_zone and o.aggregates = n.aggregates and md5(o.fixed) = md5(n.fixed);

-- name: stage
create temp table if not exists staged_readings (
  at timestamptz, series integer, origin integer, v json, stats json, line text
) on commit delete rows;

-- name: store_staged
insert into readings (at, series, origin, v, stats, line)
select at, series, origin, v, stats, line from staged_readings on conflict do nothing;

-- A few readings are quicker on their way without a table in between.
-- name: store_few
insert into readings (at, series, origin, v, stats, line)
select at, series, origin, v::json, stats::json, line
from unnest($1::timestamptz[], $2::integer[], $3::integer[], $4::text[], $5::text[], $6::text[])
  as n (at, series, origin, v, stats, line)
on conflict do nothing;

-- name: refuse
insert into telemetry_refused (seq, item, subject, reason, line) values ($1, $2, $3, $4, $5) on conflict do nothing;

-- name: has_old
select exists (select from readings_default where at < $1);

-- name: delete_old
delete from readings_default where at < $1;

-- name: delete_old_refused
delete from telemetry_refused where refused_at < $1;

-- Which readings are meant: their origins, by series, slot, building, zone and device type.
-- name: origins
select o.id, s.id as series, s.slot_id, o.building_id, o.zone_id, o.time_zone, o.raw_since, o.cell_minutes
from reading_series s join reading_origins o on o.series = s.id
where s.property_id = $1
  and ($2::text[] is null or s.slot_id = any($2))
  and ($3::text[] is null or s.devtype = any($3))
  and ($4::text[] is null or o.building_id = any($4))
  and ($5::text[] is null or o.zone_id = any($5));

-- The same where slots are named, with what stands in the lines of their readings.
-- name: origins_of_slots
select o.id, s.id as series, s.slot_id, o.building_id, o.zone_id, o.time_zone, o.raw_since, o.cell_minutes,
  o.aggregates, o.fixed
from reading_series s join reading_origins o on o.series = s.id
where s.property_id = $1 and s.slot_id = any($2)
  and ($3::text[] is null or s.devtype = any($3))
  and ($4::text[] is null or o.building_id = any($4))
  and ($5::text[] is null or o.zone_id = any($5));

-- What stands in the lines of readings of these origins.
-- name: fixed
select id, time_zone, aggregates, fixed from reading_origins where id = any($1);

-- Readings of one series behind a place, in time order: a walk along the primary key.
-- name: raw_of_one
select round(date_part('epoch', at) * 1000)::bigint as ms, series, origin, v::text as v, stats::text as stats, line
from readings
where series = $1 and at >= $2 and at < $3 and at > $4 and origin = any($5)
order by at limit $6;

-- name: raw
select round(date_part('epoch', at) * 1000)::bigint as ms, series, origin, v::text as v, stats::text as stats, line
from readings
where series = any($1) and at >= $2 and at < $3 and (at, series) > ($4, $5) and origin = any($6)
order by at, series limit $7;

-- Whether there are any in the time.
-- name: any
select exists (
  select from readings where series = any($1) and at >= $2 and at < $3 and origin = any($4)
);

-- name: newest_origin
select coalesce(max(id), 0) from reading_origins;

-- name: series_named
select id from reading_series where property_id = $1 and slot_id || '/' || devtype = $2 order by id limit 1;

-- The last reading of each series in the time, of those from one of the origins: before a slot was moved, it has others.
-- name: latest
select round(date_part('epoch', r.at) * 1000)::bigint as ms, r.series, r.origin, r.v::text as v,
  r.stats::text as stats, r.line
from unnest($1::integer[]) as s (id)
  cross join lateral (
    select * from readings r
    where r.series = s.id and r.at >= $2 and r.at < $3 and r.origin = any($4)
    order by r.at desc limit 1
  ) r
order by r.at desc, r.series limit $5;
