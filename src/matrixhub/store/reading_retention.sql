-- Properties that keep readings for a time of their own.

-- name: set
insert into readings_retention (property_id, seconds) values ($1, $2)
on conflict (property_id) do update set seconds = excluded.seconds, changed_at = now();

-- name: show
select seconds from readings_retention where property_id = $1;

-- name: clear
delete from readings_retention where property_id = $1;
