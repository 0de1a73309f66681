-- Definitions of shifts, and their hours.

-- name: lock_property
select true from properties where id = $1 for key share;

-- name: add
insert into shift_definitions (property_id, day_of_week, shifts) select $1, day, $3::jsonb from unnest($2::smallint[]) day
on conflict (property_id, day_of_week) do nothing returning day_of_week;

-- name: change
update shift_definitions set shifts = $3 where property_id = $1 and day_of_week = any($2::smallint[])
returning day_of_week;

-- name: delete
delete from shift_definitions where property_id = $1 and day_of_week = any($2::smallint[]);

-- name: read
select day_of_week, shifts from shift_definitions where property_id = $1 order by day_of_week;

-- name: save_hours
insert into shift_hours (property_id, hours) values ($1, $2)
on conflict (property_id) do update set hours = excluded.hours;

-- name: delete_hours
delete from shift_hours where property_id = $1;

-- name: hours
select hours from shift_hours where property_id = $1;
