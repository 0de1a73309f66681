-- Applications: their quotas, and what they have used of them.

-- name: create
insert into applications (id, property_id, name, per_minute, burst, per_day, created_at, tokens, tokens_at, day)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict do nothing returning *;

-- name: list
select * from applications where property_id = $1 order by created_at, id;

-- name: show
select * from applications where property_id = $1 and id = $2;

-- name: lock
select * from applications where property_id = $1 and id = $2 for update;

-- name: update
update applications set name = $3, per_minute = $4, burst = $5, per_day = $6, version = version + 1
where property_id = $1 and id = $2 returning *;

-- name: save_usage
update applications set tokens = $3, tokens_at = $4, day = $5, day_events = $6 where property_id = $1 and id = $2;

-- name: revoke
update applications set revoked_at = $3, version = version + 1 where property_id = $1 and id = $2 returning *;

-- name: revoke_keys
update ingest_keys set revoked_at = $3 where property_id = $1 and application_id = $2 and revoked_at is null;

-- name: buildings
select id from buildings where property_id = $1;

-- For an operator on this machine, who need not name the property where only one has the application.
-- name: properties_of
select property_id from applications where id = $1 order by property_id;
