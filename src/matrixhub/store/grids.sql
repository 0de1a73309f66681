-- Properties, buildings, levels and zones with all that is kept of them.

-- Rows are locked `for no key update`: `for update` would also hold up everyone who makes something that refers to them.

-- name: share_places
select pg_advisory_xact_lock_shared(hashtextextended($1, 1));

-- name: properties
select id, organisation_id, name, type_id, address, status, time_zone, country, country_locale, plan_type,
  created_by, created_at, updated_by, updated_at, version
from properties where organisation_id = $1 and ($2::text is null or type_id = $2) order by name, id;

-- name: property
select id, organisation_id, name, type_id, address, status, time_zone, country, country_locale, plan_type,
  created_by, created_at, updated_by, updated_at, version
from properties where id = $1;

-- name: lock_property
select true from properties where id = $1 for no key update;

-- name: insert_property
insert into properties (id, organisation_id, name, type_id, address, status, time_zone, country, country_locale,
  plan_type, created_by, created_at, updated_by, updated_at, version)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15);

-- name: save_property
update properties set name = $2, status = $3, updated_by = $4, updated_at = $5, version = $6 where id = $1;

-- name: lock_organisation
select true from organisations where id = $1 for no key update;

-- name: count_properties
select count(*) from properties where organisation_id = $1;

-- name: count_property_types
select count(*) from property_types where organisation_id = $1;

-- name: count_zone_categories
select count(*) from zone_categories where organisation_id = $1 and building_id is not distinct from $2;

-- name: count_zone_units
select count(*) from zone_units where organisation_id = $1 and building_id is not distinct from $2;

-- name: building_of_zone
select b.id from zones z join buildings b on b.id = z.building_id where b.property_id = $1 and z.id = $2;

-- name: property_types
select id, name from property_types where organisation_id = $1 order by name, id;

-- name: insert_property_type
insert into property_types (organisation_id, id, name) values ($1, $2, $3);

-- name: metrics
select (select count(*) from buildings b where b.property_id = $1 and ($2::text is null or b.id = $2)) as buildings,
  (select count(*) from levels l join buildings b on b.id = l.building_id
    where b.property_id = $1 and ($2::text is null or b.id = $2)) as levels,
  count(z.id) as zones, coalesce(sum(z.area), 0) as area
from zones z join buildings b on b.id = z.building_id where b.property_id = $1 and ($2::text is null or b.id = $2);

-- name: buildings
select * from building_overviews where property_id = $1 order by name, id;

-- name: buildings_by_id
select * from building_overviews where property_id = $1 and id = any($2) order by name, id;

-- name: count_buildings
select count(*) from buildings where property_id = $1;

-- name: lock_building
select true from buildings where property_id = $1 and id = $2 for no key update;

-- name: insert_building
insert into buildings (id, property_id, name, time_zone, operating_hours, address, is_property_address, email,
  levels_count, is_beacon_enabled, area, status, country, country_locale, created_by, created_at, updated_by, updated_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $15, $16);

-- name: save_building
update buildings set name = $3, status = $4, operating_hours = $5, updated_by = $6, updated_at = $7, version = $8
where property_id = $1 and id = $2;

-- From the lowest up: by the number in their word, such as L-1 or L2.
-- name: levels
select * from level_overviews where property_id = $1 and building_id = $2
order by nullif(substr(level, 2), '')::integer nulls last, name, id;

-- name: level
select * from level_overviews where property_id = $1 and building_id = $2 and id = $3;

-- name: count_levels
select count(*) from levels l join buildings b on b.id = l.building_id where b.property_id = $1 and b.id = $2;

-- name: lock_levels
select l.id from levels l join buildings b on b.id = l.building_id
where b.property_id = $1 and b.id = $2 and l.id = any($3) order by l.id for no key update of l;

-- name: lock_level_for_removal
select true from levels l join buildings b on b.id = l.building_id
where b.property_id = $1 and b.id = $2 and l.id = $3 for update of l;

-- name: insert_level
insert into levels (id, building_id, name, level, area, created_by, created_at, updated_by, updated_at)
select $1, b.id, $4, $5, $6, $7, $8, $7, $8 from buildings b where b.property_id = $2 and b.id = $3;

-- name: save_level
update levels l set name = $3, level = $4, area = $5, updated_by = $6, updated_at = $7, version = $8
from buildings b where b.id = l.building_id and b.property_id = $1 and l.id = $2;

-- name: delete_level
delete from levels l using buildings b where b.id = l.building_id and b.property_id = $1 and l.id = $2;

-- name: floor_plan
select f.level_id, f.media_type, f.image
from floor_plans f join levels l on l.id = f.level_id join buildings b on b.id = l.building_id
where b.property_id = $1 and b.id = $2 and l.id = $3;

-- name: save_floor_plan
insert into floor_plans (level_id, media_type, image, updated_by, updated_at)
select l.id, $3, $4, $5, $6 from levels l join buildings b on b.id = l.building_id where b.property_id = $1 and l.id = $2
on conflict (level_id) do update set media_type = excluded.media_type, image = excluded.image,
  updated_by = excluded.updated_by, updated_at = excluded.updated_at;

-- What was moved to another level is on the plan of the old one no longer.
-- name: plan_positions
select case when p.zone_id is null then 'slot' else 'zone' end as kind, coalesce(p.zone_id, p.slot_id) as id, p.x, p.y
from plan_positions p
  left join slots s on s.id = p.slot_id
  join zones z on z.id = coalesce(p.zone_id, s.zone_id) and z.level_id = p.level_id
  join buildings b on b.id = z.building_id
where b.property_id = $1 and b.id = $2 and p.level_id = $3 order by 1 desc, 2;

-- name: clear_plan_positions
delete from plan_positions p using levels l, buildings b
where b.property_id = $1 and l.id = $2 and b.id = l.building_id
  and (p.level_id = l.id or p.zone_id = any($3) or p.slot_id = any($4));

-- name: add_plan_positions
insert into plan_positions (level_id, zone_id, slot_id, x, y)
select z.level_id, case when a.kind = 'zone' then a.id end, case when a.kind = 'slot' then a.id end, a.x, a.y
from unnest($3::text[], $4::text[], $5::float8[], $6::float8[]) as a (kind, id, x, y)
  left join slots s on a.kind = 'slot' and s.id = a.id
  join zones z on z.id = case when a.kind = 'zone' then a.id else s.zone_id end and z.level_id = $2
  join buildings b on b.id = z.building_id and b.property_id = $1
returning coalesce(zone_id, slot_id) as id;

-- name: zone
select * from zone_overviews where property_id = $1 and building_id = $2 and id = $3;

-- name: zones_by_id
select * from zone_overviews where property_id = $1 and building_id = $2 and id = any($3) order by id;

-- name: zone_page
select * from zone_overviews
where property_id = $1 and building_id = $2 and ($3::text is null or level_id = $3)
  and ($4::text[] is null or category = any($4)) and id > $5
order by id limit $6;

-- name: lock_zone
select true from zones z join buildings b on b.id = z.building_id
where b.property_id = $1 and b.id = $2 and z.id = $3 for no key update of z;

-- name: lock_zones_of_level
select z.id from zones z join buildings b on b.id = z.building_id
where b.property_id = $1 and b.id = $2 and z.level_id = $3 order by z.id for update of z;

-- name: insert_zone
insert into zones (id, building_id, level_id, name, category, area, floor_type, tags, units, status, beacon_id,
  operating_hours, is_building_hours, created_by, created_at, updated_by, updated_at)
select $1, b.id, l.id, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $15, $16
from levels l join buildings b on b.id = l.building_id where b.property_id = $2 and b.id = $3 and l.id = $4;

-- name: save_zone
update zones z set name = $3, area = $4, floor_type = $5, tags = $6, units = $7, status = $8, beacon_id = $9,
  operating_hours = $10, is_building_hours = $11, updated_by = $12, updated_at = $13, version = $14
from buildings b where b.id = z.building_id and b.property_id = $1 and z.id = $2;

-- name: delete_zone
delete from zones z using buildings b where b.id = z.building_id and b.property_id = $1 and z.id = $2;

-- name: zone_categories
select id, name, property_type_id, building_id from zone_categories
where organisation_id = $1 and building_id is null and ($2::text is null or property_type_id = $2) order by name, id;

-- name: zone_categories_of_building
select c.id, c.name, c.property_type_id, c.building_id
from properties p join buildings b on b.property_id = p.id
  join zone_categories c on c.organisation_id = p.organisation_id
    and (c.building_id = b.id or (c.building_id is null and c.property_type_id = p.type_id))
where p.id = $1 and b.id = $2 order by c.name, c.id;

-- name: insert_zone_category
insert into zone_categories (organisation_id, building_id, property_type_id, id, name) values ($1, $2, $3, $4, $5);

-- name: zone_units
select id, name, image_url, category_id, building_id from zone_units
where organisation_id = $1 and building_id is null and ($2::text is null or category_id = $2) order by name, id;

-- name: zone_units_of_building
select u.id, u.name, u.image_url, u.category_id, u.building_id
from properties p join buildings b on b.property_id = p.id
  join zone_units u on u.organisation_id = p.organisation_id and (u.building_id is null or u.building_id = b.id)
where p.id = $1 and b.id = $2 and ($3::text is null or u.category_id = $3) order by u.name, u.id;

-- name: insert_zone_unit
insert into zone_units (organisation_id, building_id, category_id, id, name, image_url) values ($1, $2, $3, $4, $5, $6);
