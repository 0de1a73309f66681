-- What the hub fills and the customer queries. Every statement may be repeated.
-- Source: docs/contract/dedicated-db.md §3

-- name: schema
create schema if not exists matrix

-- name: schema_version
create table if not exists matrix.schema_version (
  version integer primary key,
  applied_at timestamptz not null default now()
)

-- name: sensor_data
create table if not exists matrix.sensor_data (
  time timestamptz(3) not null,
  unixt bigint not null,
  t char(14) not null,
  pid text not null,
  propid text,
  insid text not null,
  devid text not null,
  devtype text not null,
  devsubtype text,
  dassoc text,
  display text,
  region text not null,
  dow text not null,
  month text not null,
  dom text not null,
  hour text not null,
  minute text not null,
  utc bigint,
  expire_at bigint,
  v jsonb not null,
  stats jsonb,
  primary key (devid, devtype, time)
)

-- name: sensor_data_by_type
create index if not exists sensor_data_pid_devtype_time_idx on matrix.sensor_data (pid, devtype, time desc)

-- name: sensor_data_by_zone
create index if not exists sensor_data_insid_time_idx on matrix.sensor_data (insid, time desc)

-- name: events
create table if not exists matrix.events (
  time timestamptz not null,
  unixtimeint bigint not null,
  principal text not null,
  ptype text,
  entity text,
  etype text,
  id text,
  attr text not null,
  description text,
  event text not null,
  module text not null,
  status text not null,
  routingkey text not null,
  meta jsonb,
  primary key (attr, time)
)

-- name: events_by_principal
create index if not exists events_principal_event_time_idx on matrix.events (principal, event, time desc)
