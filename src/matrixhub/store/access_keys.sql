-- Access keys and their secrets; and what is shown of all keys.

-- name: create
insert into access_keys (id, property_id, name, access_key, secret, role_id, replay_protected, rate_per_s, burst,
                         created_at, expires_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
on conflict (access_key) where revoked_at is null do nothing returning id;

-- name: lock
select expires_at from access_keys where property_id = $1 and id = $2 and revoked_at is null for update;

-- name: rotate
update access_keys set
  previous_secret = case when $5::timestamptz is null then null else secret end, previous_until = $5,
  secret = $3, rotated_at = $4
where property_id = $1 and id = $2;

-- What is null stays.
-- name: change
update access_keys set
  name = coalesce($3, name), role_id = coalesce($4, role_id), rate_per_s = coalesce($5, rate_per_s),
  burst = coalesce($6, burst), replay_protected = coalesce($7, replay_protected)
where property_id = $1 and id = $2 and revoked_at is null returning id;

-- name: change_bearer
update ingest_keys set
  name = coalesce($3, name), role_id = coalesce($4, role_id), rate_per_s = coalesce($5, rate_per_s),
  burst = coalesce($6, burst)
where property_id = $1 and id = $2 and revoked_at is null returning id;

-- name: revoke
update access_keys set revoked_at = $3, previous_secret = null, previous_until = null
where property_id = $1 and id = $2 and revoked_at is null returning id;

-- Of whichever property: it is what says which one asks.
-- name: find
select id, property_id, access_key, name, role_id, replay_protected, rate_per_s, burst,
       secret, previous_secret, previous_until, expires_at
from access_keys where access_key = $1 and revoked_at is null;

-- name: page_keys
select * from key_overviews
where property_id = $1 and ($2::timestamptz is null or (created_at, id) > ($2, $3::text))
order by created_at, id limit $4;

-- name: show_key
select * from key_overviews where property_id = $1 and id = $2;

-- name: use_signature
insert into signatures_used (digest, expires_at) values ($1, $2) on conflict do nothing returning true;

-- Others that clean up at the same time are not waited for.
-- name: forget_signatures
delete from signatures_used where ctid = any(array(
  select ctid from signatures_used where expires_at < $1 order by expires_at limit 100 for update skip locked
));
