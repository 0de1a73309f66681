-- Seats.

-- Whoever adds a seat waits for the one who does so already, so that numbers are given once.
-- name: lock_property
select true from properties where id = $1 for no key update;

-- name: next_number
select coalesce(max(number), 0) + 1 from seats where property_id = $1;

-- name: create
insert into seats (id, property_id, number, name, email, team) values ($1, $2, $3, $4, $5, $6) returning *;

-- name: read
select * from seats where property_id = $1 and id = $2;

-- name: lock
select * from seats where property_id = $1 and id = $2 for no key update;

-- name: save
update seats set name = $3, email = $4, team = $5, active = $6, version = version + 1
where property_id = $1 and id = $2 returning *;

-- name: list
select * from seats where property_id = $1 order by number;
