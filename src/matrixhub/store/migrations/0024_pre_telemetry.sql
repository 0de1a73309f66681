-- Telemetry: every reading of the stream, for past data. Source: docs/decisions/0017-telemetry.md

-- What a slot measures: the readings of one device type in one slot of a property. There is no reference to the slot:
-- its readings stay when it is removed, and the store takes what the stream has, whatever became of it meanwhile.
create table reading_series (
  id integer primary key generated always as identity,
  property_id text not null,
  slot_id text not null,
  devtype text not null,
  unique (property_id, slot_id, devtype)
);

-- Where readings of a series come from, as long as nothing of their slot changes; see model/reading_line.py.
create table reading_origins (
  id integer primary key generated always as identity,
  series integer not null references reading_series,
  building_id text not null,
  zone_id text not null,
  time_zone text not null,
  aggregates boolean not null,
  fixed text not null
);
create unique index on reading_origins (series, building_id, zone_id, time_zone, aggregates, md5(fixed));
create index on reading_origins (building_id);
create index on reading_origins (zone_id);

-- One reading. A repeat of series and instant is stored once. `line` is the whole line where it cannot be made from the
-- rest; `v` is null where PostgreSQL cannot look into it.
create table readings (
  at timestamptz not null,
  series integer not null,
  origin integer not null,
  v json,
  stats json,
  line text,
  primary key (series, at)
) partition by range (at);
create table readings_default partition of readings default;

-- How far the store has come: every message up to `seq` of the stream is in the table.
create table telemetry_progress (
  source text primary key,
  seq bigint not null
) with (fillfactor = 10);

-- Lines of the stream that are no readings the store can keep.
create table telemetry_refused (
  seq bigint not null,
  item integer not null,
  refused_at timestamptz not null default now(),
  subject text not null,
  reason text not null,
  line bytea not null,
  primary key (seq, item)
);
