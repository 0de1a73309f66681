-- Rollups of readings by hour and day. Source: docs/decisions/0025-rollups.md

-- `generation` counts the rounds of whoever rolls up: what the store marks it remembers for as long as it stays the same.
-- `marked_seq` is `seq`, save where a hub that knows no marks has stored: then nothing is taken from rollups, and whoever
-- stores next marks all that there is.
alter table telemetry_progress add column generation integer not null default 0, add column marked_seq bigint;

-- Before `raw_since`, readings of an origin may be gone: rollups of then are not made again. `cell_minutes` is how long
-- its cells are, null before its first rollup.
alter table reading_origins add column raw_since timestamptz not null default '1970-01-01Z', add column cell_minutes smallint;

-- Hours (of UTC) of which readings came since they were rolled up; origin 0 stands for all of them.
create table rollup_marks (
  origin integer not null,
  hour timestamptz not null,
  generation integer not null,
  primary key (origin, hour)
) with (fillfactor = 50);
create index on rollup_marks (hour);

-- Numbers of an attribute of an origin in the cell that begins at `at`.
create table reading_hours (
  at timestamptz not null,
  origin integer not null,
  n integer not null,
  attribute text not null,
  sum numeric not null,
  least numeric not null,
  greatest numeric not null,
  primary key (origin, attribute, at)
) partition by range (at);
create table reading_hours_default partition of reading_hours default;

-- The same by local days, made from the cells of the day from `at` to `until`.
create table reading_days (
  at timestamptz not null,
  until timestamptz not null,
  origin integer not null,
  n integer not null,
  attribute text not null,
  sum numeric not null,
  least numeric not null,
  greatest numeric not null,
  primary key (origin, attribute, at)
) partition by range (at);
create table reading_days_default partition of reading_days default;
