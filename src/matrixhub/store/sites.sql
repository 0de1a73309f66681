-- Places and device slots.

-- name: property_exists
select true from properties where id = $1;

-- name: properties
select p.id, p.name, p.organisation_id, o.name as organisation_name,
  (select count(*) from buildings b where b.property_id = p.id) as buildings,
  (select count(*) from slots s where s.property_id = p.id) as slots
from properties p join organisations o on o.id = p.organisation_id order by p.id;

-- name: organisation
select id, name from organisations where id = (select organisation_id from properties where id = $1);

-- name: property
select id, organisation_id, name from properties where id = $1;

-- name: buildings
select id, property_id, name, time_zone from buildings where property_id = $1 order by id;

-- name: levels
select l.id, l.building_id, l.name from levels l join buildings b on b.id = l.building_id
where b.property_id = $1 order by l.id;

-- name: zones
select z.id, z.building_id, z.level_id, z.name, z.category from zones z join buildings b on b.id = z.building_id
where b.property_id = $1 order by z.id;

-- name: slots
select s.id, s.property_id, s.building_id, s.zone_id, s.devtype, s.name, b.time_zone, s.hardware_id, s.sub_type,
  s.parameters
from slots s join buildings b on b.id = s.building_id where s.property_id = $1 order by s.ordinal, s.id;

-- name: all_slots
select s.id, s.property_id, s.building_id, s.zone_id, s.devtype, s.name, b.time_zone, s.hardware_id, s.sub_type,
  s.parameters
from slots s join buildings b on b.id = s.building_id;

-- name: level_marks
select l.id, l.building_id, l.name, l.level from levels l join buildings b on b.id = l.building_id
where b.property_id = $1 order by l.id;

-- name: zone_marks
select z.id, z.building_id, z.level_id, z.name, z.category, z.status from zones z join buildings b on b.id = z.building_id
where b.property_id = $1 order by z.id;

-- Not now(), which is when the transaction began: it may have waited for others since.
-- name: now
select clock_timestamp();

-- Two places may swap their names, so those are looked at once all are saved.
-- name: defer_names
set constraints building_names, level_names, zone_names deferred;

-- name: check_names
set constraints building_names, level_names, zone_names immediate;

-- Of what is there already, only what the site file knows is set, and only where it is different.
-- name: save_organisation
insert into organisations (id, name) values ($1, $2) on conflict (id) do update set name = excluded.name;

-- name: save_property
insert into properties as p (id, organisation_id, name) values ($1, $2, $3)
on conflict (id) do update set organisation_id = excluded.organisation_id, name = excluded.name,
  updated_at = now(), version = p.version + 1
where (p.organisation_id, p.name) <> (excluded.organisation_id, excluded.name);

-- name: save_building
insert into buildings as b (id, property_id, name, time_zone) values ($1, $2, $3, $4)
on conflict (id) do update set name = excluded.name, time_zone = excluded.time_zone,
  updated_at = now(), version = b.version + 1
where b.property_id = excluded.property_id and (b.name, b.time_zone) <> (excluded.name, excluded.time_zone);

-- name: save_level
insert into levels as l (id, building_id, name, level) values ($1, $2, $3, $4)
on conflict (id) do update set building_id = excluded.building_id, name = excluded.name,
  updated_at = now(), version = l.version + 1
where (l.building_id, l.name) <> (excluded.building_id, excluded.name);

-- name: save_zone
insert into zones as z (id, building_id, level_id, name, category) values ($1, $2, $3, $4, $5)
on conflict (id) do update set building_id = excluded.building_id, level_id = excluded.level_id,
  name = excluded.name, category = excluded.category, updated_at = now(), version = z.version + 1
where (z.building_id, z.level_id, z.name, z.category)
  <> (excluded.building_id, excluded.level_id, excluded.name, excluded.category);

-- name: save_slots
insert into slots (id, property_id, building_id, zone_id, devtype, name, hardware_id, sub_type, parameters, ordinal)
select n.id, $1, n.building_id, n.zone_id, n.devtype, n.name, n.hardware_id, n.sub_type, n.parameters, n.ordinal
from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::jsonb[], $10::int[])
  as n (id, building_id, zone_id, devtype, name, hardware_id, sub_type, parameters, ordinal)
order by n.id
on conflict (id) do update set building_id = excluded.building_id, zone_id = excluded.zone_id,
  devtype = excluded.devtype, name = excluded.name, hardware_id = excluded.hardware_id,
  sub_type = excluded.sub_type, parameters = excluded.parameters, ordinal = excluded.ordinal,
  updated_at = excluded.updated_at, updated_by = excluded.updated_by, version = slots.version + 1
where slots.property_id = excluded.property_id and (slots.building_id, slots.zone_id, slots.devtype, slots.name,
  slots.hardware_id, slots.sub_type, slots.parameters, slots.ordinal) is distinct from (excluded.building_id,
  excluded.zone_id, excluded.devtype, excluded.name, excluded.hardware_id, excluded.sub_type, excluded.parameters,
  excluded.ordinal);

-- name: release_devices
update slots s set hardware_id = '', updated_at = default, updated_by = default, version = s.version + 1
from slots b left join unnest($2::text[], $3::text[]) as n (id, hardware_id) on n.id = b.id
where b.property_id = $1 and s.id = b.id and s.hardware_id <> ''
  and (n.hardware_id <> s.hardware_id or (n.id is null and $4));

-- name: foreign_ids
select 'building' as what, id, property_id from buildings where id = any($1) and property_id <> $5
union all
select 'level', l.id, b.property_id from levels l join buildings b on b.id = l.building_id
  where l.id = any($2) and b.property_id <> $5
union all
select 'zone', z.id, b.property_id from zones z join buildings b on b.id = z.building_id
  where z.id = any($3) and b.property_id <> $5
union all
select 'slot', id, property_id from slots where id = any($4) and property_id <> $5
limit 1;

-- name: remove_slots
delete from slots where property_id = $1 and not id = any($2);

-- name: remove_zones
delete from zones z using buildings b where b.id = z.building_id and b.property_id = $1 and not z.id = any($2);

-- name: remove_levels
delete from levels l using buildings b where b.id = l.building_id and b.property_id = $1 and not l.id = any($2);

-- name: remove_buildings
delete from buildings where property_id = $1 and not id = any($2);
