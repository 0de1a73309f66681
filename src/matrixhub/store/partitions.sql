-- Partitions of attempts, parked readings and events, by time in UTC.

-- name: lock
select pg_advisory_xact_lock($1);

-- name: list
select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
where i.inhparent = $1::text::regclass order by 1;

-- name: delete_attempts
delete from attempts_default where at < $1;

-- What the relay has not passed on stays, however old.
-- name: delete_events
delete from events_default where at < $1 and number <= (select number from relay_progress);
