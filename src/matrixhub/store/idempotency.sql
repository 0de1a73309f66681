-- What was answered to requests with an Idempotency-Key.

-- name: find
select sealed from idempotency_keys
where property_id = $1 and key = $2 and created_at > now() - make_interval(secs => $3);

-- Others that clean up at the same time are not waited for.
-- name: forget
delete from idempotency_keys where ctid = any(array(
  select ctid from idempotency_keys where created_at <= now() - make_interval(secs => $1)
  order by created_at limit 100 for update skip locked
));

-- A row under the same key that another transaction is about to commit is waited for. One that is too old is replaced.
-- name: take
insert into idempotency_keys (property_id, key, sealed) values ($1, $2, ''::bytea)
on conflict (property_id, key) do update set sealed = excluded.sealed, created_at = now()
where idempotency_keys.created_at <= now() - make_interval(secs => $3)
returning key;

-- name: keep
update idempotency_keys set sealed = $3 where property_id = $1 and key = $2;
