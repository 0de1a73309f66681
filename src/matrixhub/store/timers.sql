-- What is to happen at a time.

-- name: set
with set_now as (
  insert into timers (kind, entity_id, property_id, due_at)
  select * from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[])
  on conflict (kind, entity_id) do update set due_at = excluded.due_at, failures = 0, last_error = ''
)
select pg_notify($5, '');

-- name: cancel
delete from timers t using unnest($1::text[], $2::text[]) as c (kind, entity_id)
where t.kind = c.kind and t.entity_id = c.entity_id;

-- name: take
delete from timers where kind = $1 and entity_id = $2 and due_at <= $3 returning true;

-- name: next
select kind, entity_id, property_id, due_at, failures from timers
where due_at <= $2 and kind = any($1::text[]) order by due_at, kind, entity_id limit 1;

-- name: next_due_at
select due_at from timers where kind = any($1::text[]) order by due_at limit 1;

-- name: put_off
update timers set due_at = $5, failures = failures + 1, last_error = $6
where kind = $1 and entity_id = $2 and due_at = $3 and failures = $4;
