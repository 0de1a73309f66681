-- Keys that may send readings, manage, or publish the events of an application.

-- name: create_key
insert into ingest_keys (id, property_id, name, digest, manages, application_id, role_id, rate_per_s, burst)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: keep_local_key
insert into ingest_keys (id, property_id, name, digest) values ('key_local', null, 'local', $1)
on conflict (id) do update set digest = excluded.digest, revoked_at = null
where ingest_keys.digest <> excluded.digest or ingest_keys.revoked_at is not null;

-- name: revoke_key
update ingest_keys set revoked_at = now() where property_id = $1 and id = $2 and revoked_at is null returning id;

-- name: find_key
select id as key_id, property_id, manages, application_id, role_id, rate_per_s, burst
from ingest_keys where digest = $1 and revoked_at is null;

-- name: valid_keys
select digest, id as key_id, property_id, manages, application_id, role_id, rate_per_s, burst
from ingest_keys where revoked_at is null;
