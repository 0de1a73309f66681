-- The store: which stream its position is of, how far it believes the clock, and properties that keep readings for a time
-- of their own. Source: docs/decisions/0024-the-store.md

-- When the stream was made, as the bus tells it: another stream may be longer than this one was.
alter table telemetry_progress add column stream text not null default '';

-- The time by which readings are too old, and how many rounds the clock has been far ahead of it.
alter table telemetry_progress add column trusted_at timestamptz;
alter table telemetry_progress add column clock_doubts integer not null default 0;

create table readings_retention (
  property_id text primary key references properties on delete cascade,
  seconds bigint not null check (seconds > 0),
  changed_at timestamptz not null default now()
);
