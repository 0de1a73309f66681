-- Device slots as people manage them, their devices and how these fare.

-- name: slots
select s.id, s.property_id, s.building_id, s.zone_id, s.devtype, s.name, b.time_zone, s.hardware_id, s.sub_type,
  s.parameters, p.organisation_id, z.level_id, s.firmware, s.connection, s.commissioning, s.commissioned_at,
  s.unhealthy_after_s, h.last_seen_at, h.battery, s.created_at, s.created_by, s.updated_at, s.updated_by,
  s.version
from slots s
  join properties p on p.id = s.property_id
  join buildings b on b.id = s.building_id
  join zones z on z.id = s.zone_id
  left join slot_health h on h.slot_id = s.id
where s.property_id = $1
  and ($2::text is null or s.building_id = $2)
  and ($3::text[] is null or s.id = any($3))
  and ($4::text[] is null or s.devtype = any($4))
  and ($5::text is null or split_part(s.devtype, '#', 1) = $5)
  and ($6::text[] is null or s.zone_id = any($6))
  and s.id > $7
order by s.id limit $8;

-- name: building
select true from buildings where property_id = $1 and id = $2;

-- name: lock_slot
select true from slots where property_id = $1 and id = $2 for no key update;

-- A zone stays while a slot is put into it.
-- name: lock_zone
select z.building_id, z.level_id, b.time_zone, p.organisation_id
from zones z join buildings b on b.id = z.building_id join properties p on p.id = b.property_id
where b.property_id = $1 and z.id = $2 for key share of z;

-- name: add
insert into slots (id, property_id, building_id, zone_id, devtype, name, hardware_id, sub_type, parameters, ordinal,
  firmware, connection, commissioning, commissioned_at, unhealthy_after_s, created_at, created_by, updated_at,
  updated_by)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9,
  (select coalesce(max(ordinal) + 1, 0) from slots where property_id = $2),
  $10, $11, $12, $13, $14, $15, $16, $17, $18)
on conflict (id) do nothing returning id;

-- name: save
update slots set building_id = $3, zone_id = $4, name = $5, hardware_id = $6, sub_type = $7, parameters = $8,
  firmware = $9, connection = $10, commissioning = $11, commissioned_at = $12, unhealthy_after_s = $13,
  updated_at = $14, updated_by = $15, version = $16
where property_id = $1 and id = $2;

-- Who does it goes into the history of its device.
-- name: sign
update slots set updated_at = $3, updated_by = $4 where property_id = $1 and id = $2;

-- name: remove
delete from slots where property_id = $1 and id = $2;

-- name: associations
select slot_id, hardware_id, began_at, began_by, ended_at, ended_by from associations
where property_id = $1 and ($2::text is null or slot_id = $2) and ($3::text is null or hardware_id = $3)
order by began_at desc, number desc limit $4;

-- name: providers
select name from providers order by name;

-- name: approve
insert into providers (name, approved_at, approved_by) values ($1, $2, $3) on conflict (name) do nothing;

-- A provider stays approved while a slot of its is made.
-- name: lock_provider
select true from providers where name = $1 for key share;

-- name: withdraw
delete from providers where name = $1 returning name;

-- name: provider_used
select count(*) from slots where split_part(devtype, '#', 1) = $1;

-- What was heard later counts; a slot that is gone meanwhile is left out.
-- name: save_sightings
insert into slot_health as h (slot_id, last_seen_at, battery)
select n.slot_id, n.seen_at, n.battery
from unnest($1::text[], $2::timestamptz[], $3::float8[]) as n (slot_id, seen_at, battery)
  join slots s on s.id = n.slot_id
order by n.slot_id
on conflict (slot_id) do update set
  last_seen_at = greatest(h.last_seen_at, excluded.last_seen_at),
  battery = case when excluded.last_seen_at >= h.last_seen_at then coalesce(excluded.battery, h.battery)
    else coalesce(h.battery, excluded.battery) end
where excluded.last_seen_at > h.last_seen_at
  or (excluded.battery is not null and h.battery is null)
  or (excluded.last_seen_at = h.last_seen_at and excluded.battery <> h.battery);
