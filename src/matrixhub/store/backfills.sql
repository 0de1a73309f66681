-- Backfills: what is asked for, whose turn it is, and how far it has come.

-- Two wishes for the same database follow each other, so that the second sees the first.
-- name: lock_database
select 1 from databases where id = $1 and property_id = $2 for update;

-- One row with nothing in it where no subscription leads to the database; none where the property has no such database.
-- name: subscriptions_to
select s.id, s.filter
from databases d left join subscriptions s on s.property_id = d.property_id and s.kind = 'postgres' and s.url = $3
where d.property_id = $1 and d.id = $2;

-- name: overlapping
select id from backfills
where database_id = $1 and subscription_id = $2 and state in ('asked', 'running', 'paused')
  and since < $4 and until > $3
order by created_at, id limit 1;

-- name: add
insert into backfills
  (id, property_id, database_id, subscription_id, source, filter, since, until, rate, estimate, estimate_exact)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
returning *;

-- name: show
select * from backfills where property_id = $1 and id = $2 and ($3::text is null or database_id = $3);

-- name: list
select * from backfills
where property_id = $1 and ($2::text is null or database_id = $2)
  and (created_at, id) < (coalesce($3, 'infinity'::timestamptz), coalesce($4, ''))
order by created_at desc, id desc limit $5;

-- name: property_of
select property_id from backfills where id = $1;

-- name: pause
update backfills set state = 'paused', waiting = '', retry_at = null, lease_until = null, fence = fence + 1
where property_id = $1 and id = $2 and state in ('asked', 'running')
returning *;

-- One that waits to try again tries at once.
-- name: resume
update backfills set state = case when begun_at is null then 'asked' else 'running' end, waiting = '', retry_at = null,
  failures = 0, ended_at = null
where property_id = $1 and id = $2 and state in ('asked', 'running', 'paused', 'failed')
returning *;

-- name: cancel
update backfills set state = 'cancelled', waiting = '', retry_at = null, lease_until = null, fence = fence + 1,
  ended_at = clock_timestamp()
where property_id = $1 and id = $2 and state in ('asked', 'running', 'paused', 'failed')
returning *;

-- The one whose last turn is longest ago is next. The turn of a process that is gone ends with its lease.
-- name: claim
with free as (
  select id from backfills
  where state in ('asked', 'running')
    and (lease_until is null or lease_until < clock_timestamp())
    and (retry_at is null or retry_at <= clock_timestamp())
  order by turn_at, id limit 1
  for update skip locked
)
update backfills b set fence = b.fence + 1, lease_until = clock_timestamp() + make_interval(secs => $1),
  turn_at = clock_timestamp()
from free where b.id = free.id
returning b.*;

-- What brings later data: how many items it is known to have in front of it; no row if there is none.
-- name: live
select s.state, p.accepted + p.replayed - p.delivered - p.parked - p.expired - p.skipped as pending
from subscriptions s join subscription_progress p on p.subscription_id = s.id
where s.id = $1 and s.property_id = $2;

-- name: set_through
update backfills set through = $3 where id = $1 and fence = $2 and through is null returning *;

-- What comes later may lie in the same time: it comes live, so there is an end to what is copied.
-- name: begin
update backfills set state = 'running', begun_at = clock_timestamp(), until = least(until, $3), waiting = ''
where id = $1 and fence = $2 and state = 'asked'
returning *;

-- name: save
update backfills set
  place_ms = $3, place_series = $4, written = written + $5, present = present + $6, refused = refused + $7,
  failures = 0, last_error = case when $8 <> '' then $8 else last_error end, waiting = '', retry_at = null,
  state = case when $9 then 'done' else state end,
  ended_at = case when $9 then clock_timestamp() end,
  lease_until = case when $9 then null else clock_timestamp() + make_interval(secs => $10) end
where id = $1 and fence = $2 and state = 'running'
returning *;

-- name: rest
update backfills set
  waiting = $3, failures = $4, last_error = case when $5 <> '' then $5 else last_error end,
  retry_at = clock_timestamp() + make_interval(secs => $6), lease_until = null
where id = $1 and fence = $2 and state in ('asked', 'running')
returning id;

-- name: fail
update backfills set state = 'failed', last_error = $3, waiting = '', retry_at = null, lease_until = null,
  ended_at = clock_timestamp()
where id = $1 and fence = $2 and state in ('asked', 'running')
returning id;

-- name: release
update backfills set lease_until = null where id = $1 and fence = $2 returning id;

-- name: counts
select state, count(*) as count, count(*) filter (where failures > 0) as failing from backfills
where state in ('asked', 'running') group by state;

-- Days (UTC, since 1970) of readings that lie in no partition of their own.
-- name: default_days
select distinct floor(date_part('epoch', at) / 86400)::integer as day from readings_default
where at >= $1 and at < $2 order by 1;

-- name: newest_of_day
select max(n.at) as at
from unnest($1::integer[]) as s (id)
  cross join lateral (
    select r.at from readings r where r.series = s.id and r.at >= $2 and r.at < $3 order by r.at desc limit 1
  ) n;

-- name: count_readings
select count(*) from readings where series = any($1) and at >= $2 and at < $3 and origin = any($4);

-- name: explain_readings
explain (format json) select 1 from readings where series = any($1) and at >= $2 and at < $3 and origin = any($4);

-- name: events
select number, round(date_part('epoch', happened_at) * 1000)::bigint as ms, principal, module, event, priority, line
from events
where property_id = $1 and happened_at >= $2 and happened_at < $3 and number <= $6
  and (happened_at, number) > ($4, $5)
order by happened_at, number limit $7;

-- name: count_events
select principal, module, event, priority, count(*) as count from events
where property_id = $1 and happened_at >= $2 and happened_at < $3 group by 1, 2, 3, 4;
