-- Availability of seats, and where they work.

-- name: save
insert into availabilities (property_id, seat_id, day_of_week, slots) values ($1, $2, $3, $4)
on conflict (seat_id, day_of_week) do update set slots = excluded.slots;

-- name: delete
delete from availabilities where property_id = $1 and seat_id = $2;

-- name: list
select a.seat_id, a.day_of_week, a.slots from availabilities a join seats s on s.id = a.seat_id
where a.property_id = $1 and s.active and ($2::text is null or a.seat_id = $2)
  and ($3::smallint is null or a.day_of_week = $3)
order by a.seat_id, a.day_of_week;

-- When seats are available that work in one of the zones, with those they are confined to; none: they work everywhere.
-- name: of_zones
select a.seat_id, a.day_of_week, a.slots, z.ids as zones
from availabilities a join seats s on s.id = a.seat_id cross join lateral (
  select array(select w.zone_id from seat_zones w where w.seat_id = s.id and w.zone_id = any($2::text[])) as ids
) z
where a.property_id = $1 and s.active and (not s.confined or cardinality(z.ids) > 0);

-- name: confine
update seats set confined = $3 where property_id = $1 and id = $2;

-- name: clear_zones
delete from seat_zones z using seats s where s.id = z.seat_id and s.property_id = $1 and s.id = $2;

-- name: add_zones
insert into seat_zones (seat_id, zone_id)
select s.id, z.id from seats s, zones z join buildings b on b.id = z.building_id
where s.property_id = $1 and s.id = $2 and b.property_id = $1 and z.id = any($3::text[])
returning zone_id;

-- name: zones
select b.id as building_id, z.id, z.name
from seat_zones w join seats s on s.id = w.seat_id join zones z on z.id = w.zone_id
  join buildings b on b.id = z.building_id
where s.property_id = $1 and s.id = $2 order by b.id, z.id;

-- name: time_zone
select time_zone from buildings where property_id = $1 and id = $2;
