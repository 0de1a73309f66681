-- What a shift carries besides its times; availability, definitions of shifts, timesheets.

alter table shifts
  add column breaks jsonb not null default '[]',     -- planned and taken, see model/shift.py
  add column cost jsonb not null default '{}',
  add column description text not null default '',
  add column clock_in jsonb,                         -- {latitude, longitude}; null: not given
  add column clock_out jsonb;
create index on shifts (property_id, starts_at);

-- When a seat works by the day of the week, 0 is Sunday; see model/availability.py.
create table availabilities (
  property_id text not null references properties on delete cascade,
  seat_id text not null references seats on delete cascade,
  day_of_week smallint not null check (day_of_week between 0 and 6),
  slots jsonb not null,                -- [{start_s, end_s, name}], seconds since local midnight
  primary key (seat_id, day_of_week)
);
create index on availabilities (property_id, day_of_week);

-- Where a seat works, if it is confined: one whose zones were all removed does not work everywhere.
alter table seats add column confined boolean not null default false;
create table seat_zones (
  seat_id text not null references seats on delete cascade,
  zone_id text not null references zones on delete cascade,
  primary key (seat_id, zone_id)
);

-- What shifts a property usually has on a day of the week, and the hours of shifts by name: documents for planning.
create table shift_definitions (
  property_id text not null references properties on delete cascade,
  day_of_week smallint not null check (day_of_week between 0 and 6),
  shifts jsonb not null,
  primary key (property_id, day_of_week)
);
create table shift_hours (
  property_id text primary key references properties on delete cascade,
  hours jsonb not null
);

-- What a seat says it worked in a shift, and what became of that.
create table timesheets (
  shift_id text primary key references shifts on delete cascade,
  property_id text not null references properties on delete cascade,
  seat_id text not null references seats on delete cascade,
  kind text not null,                  -- see model/timesheet.py
  status text not null,
  worked_from timestamptz not null,
  worked_until timestamptz not null,
  comment text not null default '',
  requested_by text not null,
  requested_at timestamptz not null,
  decided_by text not null default '',
  decided_at timestamptz,
  version bigint not null default 1
);
create index on timesheets (property_id, requested_at);
create index on timesheets (seat_id, requested_at);
