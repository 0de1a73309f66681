-- Audits: inspections of zones. An audit outlives its zone, so it keeps the name it had.

create table audits (
  id text primary key,
  property_id text not null references properties on delete cascade,
  building_id text not null,
  zone_id text not null,
  zone_name text not null,
  name text not null,
  by text not null,
  status text not null,            -- see model/audit.py
  started_at timestamptz not null,
  ended_at timestamptz,
  score double precision,
  comment text not null default ''
);
create index on audits (property_id, started_at desc, id desc);
create index on audits (property_id, zone_id, started_at desc);
