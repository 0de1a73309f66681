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
select number, at, property_id, line from events where at >= $2 and number > $1 order by number limit $3;

-- name: relay_progress
select number, at, seq from relay_progress;

-- name: save_relay_progress
update relay_progress set number = $1, at = $2, seq = $3 where number <= $1;
