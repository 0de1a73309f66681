-- What the hub fills and the customer queries. Every statement may be repeated.
-- {partitioned} becomes a clause where the hub hosts the database, and nothing where the customer does.
-- Source: docs/contract/dedicated-db.md §3, docs/decisions/0029-schema.md

-- name: schema
create schema if not exists matrix

-- name: schema_version
create table if not exists matrix.schema_version (
  version integer primary key,
  applied_at timestamptz not null default now()
)

-- Numbers of eight bytes come first: behind texts of any length each of them would be filled up to eight bytes.
-- name: sensor_data
create table if not exists matrix.sensor_data (
  time timestamptz(3) not null,
  unixt bigint not null,
  utc bigint,
  expire_at bigint,
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
  v jsonb not null,
  stats jsonb,
  primary key (devid, devtype, time)
) {partitioned}

-- name: sensor_data_default
create table if not exists matrix.sensor_data_default partition of matrix.sensor_data default

-- Of the types that are counted by building and day: with all types in it, it would take as much as the primary key.
-- Not `time desc`: it is read backwards as quickly.
-- name: sensor_data_by_type
create index if not exists sensor_data_pid_devtype_time_idx on matrix.sensor_data (pid, devtype, time)
where devtype in ('SMARTCLEAN#PPLCTR', 'SMARTCLEAN#UM', 'SMARTCLEAN#FD')

-- name: sensor_data_by_time
create index if not exists sensor_data_time_idx on matrix.sensor_data using brin (time)

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
create index if not exists events_principal_event_time_idx on matrix.events (principal, event, time)

-- Walks from slot to slot along the primary key, so that it takes a moment for each slot, not for each reading.
-- name: latest_readings
create or replace view matrix.latest_readings as
with recursive slots (devid, devtype) as (
  (select devid, devtype from matrix.sensor_data order by devid, devtype limit 1)
  union all
  select following.devid, following.devtype
  from slots cross join lateral (
    select d.devid, d.devtype from matrix.sensor_data d
    where (d.devid, d.devtype) > (slots.devid, slots.devtype)
    order by d.devid, d.devtype limit 1
  ) following
)
select latest.time, latest.unixt, latest.pid, latest.propid, latest.insid, latest.devid, latest.devtype,
  latest.devsubtype, latest.dassoc, latest.display, latest.region, latest.v, latest.stats
from slots cross join lateral (
  select d.time, d.unixt, d.pid, d.propid, d.insid, d.devid, d.devtype, d.devsubtype, d.dassoc, d.display, d.region,
    d.v, d.stats
  from matrix.sensor_data d
  where d.devid = slots.devid and d.devtype = slots.devtype
  order by d.time desc limit 1
) latest

-- name: people
create or replace view matrix.people as
select time, time at time zone region as local_time, pid, insid, devid, display,
  (v->>'count')::numeric as people_in, (v->>'out_count')::numeric as people_out
from matrix.sensor_data
where devtype = 'SMARTCLEAN#PPLCTR'

-- name: occupancy
create or replace view matrix.occupancy as
select time, time at time zone region as local_time, pid, insid, devid, devtype, display,
  case devtype when 'SMARTCLEAN#OCCDESK' then v->>'occ' = '1' else v->>'occ' = '0' end as occupied
from matrix.sensor_data
where devtype in ('SMARTCLEAN#OCCMINEW', 'SMARTCLEAN#OCCSCM', 'SMARTCLEAN#OCCDESK')

-- name: ammonia
create or replace view matrix.ammonia as
select time, time at time zone region as local_time, pid, insid, devid, devtype, display,
  case devtype when 'SMARTCLEAN#ODRDTR' then (v->>'amm')::numeric * 1000 else (v->>'amm')::numeric end as ammonia_ppb
from matrix.sensor_data
where devtype in ('SMARTCLEAN#ODRDTR', 'SMARTCLEAN#ODRDTR_BATT_V1')

-- name: comments
comment on schema matrix is 'Sensor data and events of a property, written by Matrix Hub';
comment on table matrix.schema_version is 'Which versions of this schema were applied, and when';
comment on column matrix.schema_version.version is 'Number of the version';
comment on column matrix.schema_version.applied_at is 'When it was applied';
comment on table matrix.sensor_data is
  'Readings of device slots, each once: (devid, devtype, time). Texts of the calendar are local to region';
comment on column matrix.sensor_data.time is 'The instant of the reading, to the millisecond, whatever the time zone';
comment on column matrix.sensor_data.unixt is 'The same instant in epoch milliseconds (unixT)';
comment on column matrix.sensor_data.utc is 'The same in whole epoch seconds';
comment on column matrix.sensor_data.expire_at is 'Epoch seconds: utc and 180 days';
comment on column matrix.sensor_data.t is 'Local wall time as YYYYMMDDHHmmss; an hour may come twice when clocks go back';
comment on column matrix.sensor_data.pid is 'Id of the building (PID)';
comment on column matrix.sensor_data.propid is 'Id of the property (PropId)';
comment on column matrix.sensor_data.insid is 'Id of the zone in which the slot lies (InsID)';
comment on column matrix.sensor_data.devid is 'Id of the device slot (DEVID), not of the hardware';
comment on column matrix.sensor_data.devtype is 'Type of the slot, as in SMARTCLEAN#PPLCTR; it says what v holds (DevType)';
comment on column matrix.sensor_data.devsubtype is 'Sub type or firmware of the device (DevSubType)';
comment on column matrix.sensor_data.dassoc is 'Id of the hardware that was in the slot (DASSOC); it may be empty';
comment on column matrix.sensor_data.display is 'Name of the slot (Display)';
comment on column matrix.sensor_data.region is 'IANA time zone of the building (Region)';
comment on column matrix.sensor_data.dow is 'Local day of the week, 0 for Sunday to 6 for Saturday';
comment on column matrix.sensor_data.month is 'Local month, 01 to 12, as text';
comment on column matrix.sensor_data.dom is 'Local day of the month, 01 to 31, as text';
comment on column matrix.sensor_data.hour is 'Local hour, 00 to 23, as text';
comment on column matrix.sensor_data.minute is 'Local minute, 00 to 59, as text';
comment on column matrix.sensor_data.v is 'What was read, by devtype, as it is pushed; whole numbers have no fraction';
comment on column matrix.sensor_data.stats is 'What analytics add, null where they add nothing';
comment on table matrix.events is 'Events of the bus, each once: (attr, time)';
comment on column matrix.events.time is 'When it happened';
comment on column matrix.events.unixtimeint is 'The same in epoch seconds (UnixTimeInt)';
comment on column matrix.events.principal is 'Building or property as the routing key has it (Principal)';
comment on column matrix.events.ptype is 'What the principal is: building or property (PType)';
comment on column matrix.events.entity is 'Id of the property (Entity)';
comment on column matrix.events.etype is 'What the entity is: property (EType)';
comment on column matrix.events.id is 'Id of the building the event arose for, or of the principal (ID)';
comment on column matrix.events.attr is 'What the event is known by (ATTR); a repeat has the same';
comment on column matrix.events.description is 'What happened, in words';
comment on column matrix.events.event is 'Kind of the event, as in INCIDENT_CREATED_OPEN';
comment on column matrix.events.module is 'Where it arose, as in scworkforcemanagement';
comment on column matrix.events.status is 'Its priority: HIGH, MEDIUM, NORMAL or another (Status)';
comment on column matrix.events.routingkey is 'matrix.<principal>.<module>.<event>.<priority>';
comment on column matrix.events.meta is 'What belongs to this kind of event; instants in it are epoch seconds'

-- name: view_comments
comment on view matrix.latest_readings is 'The latest reading of each slot and type';
comment on view matrix.people is 'Readings of people counters: how many came in and went out since the one before';
comment on view matrix.occupancy is 'Readings of cubicles and desks; occupied is true where somebody is, whatever the type';
comment on view matrix.ammonia is 'Ammonia in ppb, whatever the device measures in'
