-- What runs in the name of customers' roles, and an end to it. Source: docs/decisions/0029-schema.md

-- name: sessions
select pid, usename as role, datname as database, backend_start, backend_type, leader_pid, coalesce(state, '') as state,
  query_start,
  coalesce(extract(epoch from clock_timestamp() - query_start), 0)::float8 as running_s,
  coalesce(extract(epoch from clock_timestamp() - state_change), 0)::float8 as since_s,
  coalesce(extract(epoch from clock_timestamp() - xact_start), 0)::float8 as transaction_s
from pg_stat_activity
where usename = any ($1);

-- Only while the session is still at what it was judged for.
-- name: cancel
select pg_cancel_backend(pid) from pg_stat_activity
where pid = $1 and backend_start = $2 and query_start is not distinct from $3 and state = $4;

-- name: terminate
select pg_terminate_backend(pid) from pg_stat_activity
where pid = $1 and backend_start = $2 and query_start is not distinct from $3 and state = $4;
