-- Keys that may send readings.

-- name: create_key
insert into ingest_keys (id, property_id, name, digest) values ($1, $2, $3, $4);

-- name: keep_local_key
insert into ingest_keys (id, property_id, name, digest) values ('key_local', null, 'local', $1)
on conflict (id) do update set digest = excluded.digest, revoked_at = null
where ingest_keys.digest <> excluded.digest or ingest_keys.revoked_at is not null;

-- name: list_keys
select id, property_id, name, created_at, revoked_at from ingest_keys where property_id = $1 order by created_at, id;

-- name: revoke_key
update ingest_keys set revoked_at = now() where property_id = $1 and id = $2 and revoked_at is null returning id;

-- name: valid_keys
select digest, property_id from ingest_keys where revoked_at is null;
