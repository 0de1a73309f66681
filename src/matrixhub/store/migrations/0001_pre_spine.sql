-- The first schema: places, device slots, keys, subscriptions and who delivers them.

create table organisations (
  id text primary key,
  name text not null
);

create table properties (
  id text primary key,
  organisation_id text not null references organisations,
  name text not null
);

create table buildings (
  id text primary key,
  property_id text not null references properties,
  name text not null,
  time_zone text not null
);
create index on buildings (property_id);

create table levels (
  id text primary key,
  building_id text not null references buildings on delete cascade,
  name text not null
);
create index on levels (building_id);

create table zones (
  id text primary key,
  building_id text not null references buildings on delete cascade,
  level_id text not null references levels on delete cascade,
  name text not null,
  category text not null default ''
);
create index on zones (building_id);

-- `ordinal` keeps the order of the site file, so that `site show` gives the file back.
create table slots (
  id text primary key,
  property_id text not null references properties,
  building_id text not null references buildings on delete cascade,
  zone_id text not null references zones on delete cascade,
  devtype text not null,
  name text not null,
  hardware_id text not null default '',
  sub_type text not null default '',
  parameters jsonb not null default '{}',
  ordinal integer not null default 0
);
create index on slots (property_id);
create index on slots (zone_id);

-- Only the SHA-256 of a key is kept. A key without property may send for every property (the hub's own, local one).
create table ingest_keys (
  id text primary key,
  property_id text references properties on delete cascade,
  name text not null,
  digest bytea not null unique,
  created_at timestamptz not null default now(),
  revoked_at timestamptz
);

create table subscriptions (
  id text primary key,
  property_id text not null references properties,
  name text not null,
  filter jsonb not null,
  url text not null,
  ca_pem text not null default '',
  auth jsonb not null,             -- scheme and user; never a secret
  auth_secret bytea,               -- sealed, see store/sealing.py
  batch_items integer not null,
  batch_bytes integer not null,
  state text not null check (state in ('active', 'paused')),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create index on subscriptions (property_id);

-- What changes with every push is apart and narrow, with room in each page so that updates stay in it (HOT).
create table subscription_progress (
  subscription_id text primary key references subscriptions on delete cascade,
  owner text,
  fence bigint not null default 0,
  position_seq bigint not null,
  position_item integer not null default 0,
  sending_seq bigint,
  sending_item integer,
  delivered bigint not null default 0,
  parked bigint not null default 0,
  expired bigint not null default 0,
  attempts_failed bigint not null default 0,
  last_error text not null default '',
  last_delivered_at timestamptz
) with (fillfactor = 50);
create index on subscription_progress (owner);

create table workers (
  id text primary key,
  expires_at timestamptz not null
) with (fillfactor = 50);
