-- Events: recorded with what made them, passed on by the relay, looked up in the log.

-- Whoever records events holds the head until its commit, so their order is that of the commits, and no number is
-- missing where a higher one is seen.
-- name: record
with head as (
  update event_head set number = number + cardinality($1::text[]), at = greatest(at, clock_timestamp())
  returning number, at
), recorded as (
  insert into events (at, number, property_id, principal, module, event, priority, happened_at, line)
  select head.at, head.number - cardinality($1::text[]) + e.n, e.property_id, e.principal, e.module, e.event,
    e.priority, e.happened_at, e.line
  from head, unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::text[])
    with ordinality as e (property_id, principal, module, event, priority, happened_at, line, n)
  returning number
)
select max(number) as last, pg_notify('matrixhub_events', '') from recorded;

-- `at` only says where to look: it never goes back while numbers count up.
-- name: unpublished
select number, at, property_id, principal, module, event, priority, line from events
where at >= $2 and number > $1 order by at, number limit $3;

-- name: recorded_at
select number, at from events where at <= $2 and number <= $1 order by at desc, number desc limit 1;

-- name: newest
select number from event_head;

-- name: relay_progress
select number, at, seq from relay_progress;

-- What is lost of it in a crash is read from the stream, so the commit waits for no disk.
-- name: save_relay_progress
with at_leisure as (select set_config('synchronous_commit', 'off', true) as set)
update relay_progress set number = $1, at = $2, seq = $3 from at_leisure where set is not null and number <= $1;

-- name: backlog
select h.number - $1 as events, (select min(e.at) from events e where e.at >= $2 and e.number > $1) as oldest_at
from event_head h;

-- What the wire asks for: both of principal and module, for which there is an index.
-- name: log_of
select number, happened_at, line from events
where property_id = $1 and principal = $2 and module = $3
  and happened_at >= $4 and happened_at < $5 and (happened_at, number) > ($6, $7)
order by happened_at, number limit $8;

-- name: log
select number, happened_at, line from events
where property_id = $1 and ($2 = '' or principal = $2) and ($3 = '' or module = $3)
  and happened_at >= $4 and happened_at < $5 and (happened_at, number) > ($6, $7)
order by happened_at, number limit $8;

-- name: latest_of
select number, happened_at, line from events
where property_id = $1 and principal = $2 and module = $3
order by happened_at desc, number desc limit $4;

-- name: latest
select number, happened_at, line from events
where property_id = $1 and ($2 = '' or principal = $2) and ($3 = '' or module = $3)
order by happened_at desc, number desc limit $4;

-- name: count
select count(*) from events where property_id = $1;
