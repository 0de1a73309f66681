-- Attendance integrations. Every read and write names the property.

-- Whoever adds one counts first, one after the other.
-- name: lock_property
select id from properties where id = $1 for no key update;

-- name: count
select count(*) from attendance_integrations where property_id = $1;

-- name: create
insert into attendance_integrations (id, property_id, name, building_id, users, created_at, updated_at)
values ($1, $2, $3, $4, $5, $6, $6) returning *;

-- name: read
select * from attendance_integrations where property_id = $1 and id = $2;

-- name: lock
select * from attendance_integrations where property_id = $1 and id = $2 for no key update;

-- name: save
update attendance_integrations set name = $3, building_id = $4, users = $5, updated_at = $6, version = version + 1
where property_id = $1 and id = $2 returning *;

-- name: delete
delete from attendance_integrations where property_id = $1 and id = $2 returning true;

-- name: list
select * from attendance_integrations where property_id = $1 order by created_at, id;

-- name: seats
select id from seats where property_id = $1 and id = any($2::text[]);
