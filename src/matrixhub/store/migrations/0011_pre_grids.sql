-- Grids: all that is kept of properties, buildings, levels and zones besides what a site file declares.

alter table properties
  add column address jsonb not null default '{}',          -- see model/place.py
  add column type_id text not null default '',
  add column status text not null default 'Active',
  add column time_zone text not null default '',
  add column country text not null default '',
  add column country_locale text not null default '',
  add column plan_type text not null default '',
  add column created_by text not null default '',
  add column created_at timestamptz not null default now(),
  add column updated_by text not null default '',
  add column updated_at timestamptz not null default now(),
  add column version bigint not null default 1;
create index on properties (organisation_id);

alter table buildings
  add column operating_hours jsonb not null default '{}',  -- see model/hours.py
  add column address jsonb not null default '{}',
  add column is_property_address boolean not null default false,
  add column email text not null default '',
  add column levels_count integer not null default 0,      -- as stated; it may have more
  add column is_beacon_enabled boolean not null default false,
  add column area double precision not null default 0,
  add column status text not null default 'Active',
  add column country text not null default '',
  add column country_locale text not null default '',
  add column created_by text not null default '',
  add column created_at timestamptz not null default now(),
  add column updated_by text not null default '',
  add column updated_at timestamptz not null default now(),
  add column version bigint not null default 1;

alter table levels
  add column level text not null default '',               -- its word, such as L2
  add column area double precision not null default 0,
  add column created_by text not null default '',
  add column created_at timestamptz not null default now(),
  add column updated_by text not null default '',
  add column updated_at timestamptz not null default now(),
  add column version bigint not null default 1;
update levels set level = name where name ~ '^L-?[0-9]{1,3}$';

alter table zones
  add column area double precision not null default 0,
  add column floor_type text not null default '',
  add column tags jsonb not null default '{}',
  add column units jsonb not null default '{}',
  add column status text not null default 'Active',
  add column beacon_id text not null default '',
  add column operating_hours jsonb not null default '{}',
  add column is_building_hours boolean not null default true,
  add column created_by text not null default '',
  add column created_at timestamptz not null default now(),
  add column updated_by text not null default '',
  add column updated_at timestamptz not null default now(),
  add column version bigint not null default 1;
create index on zones (level_id);

-- A name belongs to one place of its parent. Where a site file has given it twice, by ids, the later ones get their id.
update buildings b set name = b.name || ' (' || b.id || ')'
from (select id, row_number() over (partition by property_id, name order by id) as n from buildings) twin
where twin.id = b.id and twin.n > 1;
update levels l set name = l.name || ' (' || l.id || ')'
from (select id, row_number() over (partition by building_id, name order by id) as n from levels) twin
where twin.id = l.id and twin.n > 1;
update zones z set name = z.name || ' (' || z.id || ')'
from (select id, row_number() over (partition by level_id, name order by id) as n from zones) twin
where twin.id = z.id and twin.n > 1;

-- Deferrable, so that a site file may let two places swap their names.
alter table buildings add constraint building_names unique (property_id, name) deferrable initially immediate;
alter table levels add constraint level_names unique (building_id, name) deferrable initially immediate;
alter table zones add constraint zone_names unique (level_id, name) deferrable initially immediate;

-- Images are apart, so that whoever reads levels does not read them.
create table floor_plans (
  level_id text primary key references levels on delete cascade,
  media_type text not null,
  image bytea not null,
  updated_by text not null default '',
  updated_at timestamptz not null default now()
);

-- Where on the plan of a level its zones and slots are, in fractions of width and height.
create table plan_positions (
  level_id text not null references levels on delete cascade,
  zone_id text references zones on delete cascade,
  slot_id text references slots on delete cascade,
  x double precision not null,
  y double precision not null,
  check (num_nonnulls(zone_id, slot_id) = 1),
  unique (zone_id),
  unique (slot_id)
);
create index on plan_positions (level_id);

-- Lists to choose from. What names something that is in none of them is taken all the same.
create table property_types (
  organisation_id text not null references organisations on delete cascade,
  id text not null,
  name text not null,
  primary key (organisation_id, id)
);

create table zone_categories (
  organisation_id text not null references organisations on delete cascade,
  building_id text references buildings on delete cascade,   -- null: of the organisation
  property_type_id text not null,
  id text not null,
  name text not null,
  unique nulls not distinct (organisation_id, building_id, property_type_id, id)
);
create index on zone_categories (building_id);

create table zone_units (
  organisation_id text not null references organisations on delete cascade,
  building_id text references buildings on delete cascade,   -- null: of the organisation
  category_id text not null,
  id text not null,
  name text not null,
  image_url text not null default '',
  unique nulls not distinct (organisation_id, building_id, id)
);
create index on zone_units (building_id);

create view building_overviews as
select b.id, b.property_id, b.name, b.time_zone, b.operating_hours, b.address as own_address,
  p.address as property_address, b.is_property_address, b.email,
  greatest(b.levels_count, (select count(*) from levels l where l.building_id = b.id))::integer as levels_count,
  b.is_beacon_enabled, b.area, b.status, b.country, b.country_locale,
  b.created_by, b.created_at, b.updated_by, b.updated_at, b.version
from buildings b join properties p on p.id = b.property_id;

create view level_overviews as
select l.id, b.property_id, l.building_id, l.name, l.level, l.area,
  exists (select from floor_plans f where f.level_id = l.id) as has_floor_plan,
  l.created_by, l.created_at, l.updated_by, l.updated_at, l.version
from levels l join buildings b on b.id = l.building_id;

create view zone_overviews as
select z.id, p.organisation_id, b.property_id, z.building_id, z.level_id, z.name, z.category, z.area, z.floor_type,
  z.tags, z.units, z.status, z.beacon_id, z.operating_hours as own_hours, b.operating_hours as building_hours,
  z.is_building_hours, z.created_by, z.created_at, z.updated_by, z.updated_at, z.version
from zones z join buildings b on b.id = z.building_id join properties p on p.id = b.property_id;
