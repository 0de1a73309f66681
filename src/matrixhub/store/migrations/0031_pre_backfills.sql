-- Backfills: past data into customers' databases. Source: docs/decisions/0027-backfill.md

create table backfills (
  id text primary key,
  property_id text not null,
  database_id text not null references databases on delete cascade,
  subscription_id text not null,   -- what brings later data; without it the backfill would leave a gap
  source text not null check (source in ('sensors', 'events')),
  filter jsonb not null,           -- that of the subscription when it was asked for
  since timestamptz not null,
  until timestamptz not null,
  rate integer not null,
  state text not null default 'asked' check (state in ('asked', 'running', 'paused', 'done', 'failed', 'cancelled')),
  estimate bigint not null,
  estimate_exact boolean not null,
  through bigint,                  -- what the store must have before it begins
  place_ms bigint,                 -- the last item written: its instant, and its series or number
  place_series bigint,
  written bigint not null default 0,
  present bigint not null default 0,
  refused bigint not null default 0,
  failures integer not null default 0,
  last_error text not null default '',
  waiting text not null default '',
  retry_at timestamptz,
  fence bigint not null default 0, -- grows with every turn; who has an older one saves nothing
  lease_until timestamptz,
  turn_at timestamptz not null default clock_timestamp(),
  created_at timestamptz not null default now(),
  begun_at timestamptz,
  ended_at timestamptz
) with (fillfactor = 50);
create index on backfills (database_id, created_at, id);
create index on backfills (turn_at) where state in ('asked', 'running');
