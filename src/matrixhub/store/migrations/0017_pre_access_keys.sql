-- Access keys: pairs of an access key, which may be seen, and a secret, which requests are signed with.
-- Source: docs/contract/web-services.md §3

create table access_keys (
  id text primary key,
  property_id text not null references properties on delete cascade,
  name text not null default '',
  access_key text not null,
  secret bytea not null,           -- sealed, see store/sealing.py
  previous_secret bytea,           -- sealed; good until previous_until
  previous_until timestamptz,
  role_id text not null,
  replay_protected boolean not null default false,
  rate_per_s double precision,     -- null: as the settings say
  burst integer,
  created_at timestamptz not null default now(),
  rotated_at timestamptz,
  expires_at timestamptz,
  revoked_at timestamptz,
  check ((previous_secret is null) = (previous_until is null)),
  check ((rate_per_s is null) = (burst is null))
);
create index on access_keys (property_id, created_at, id);
-- Who has revoked a key may bring the same one along again.
create unique index access_keys_access_key on access_keys (access_key) where revoked_at is null;

create constraint trigger count_version after insert or update or delete on access_keys
  deferrable initially deferred for each row execute function count_access();

-- Signatures that were used, for keys that are protected against replays; kept while they would be accepted.
create table signatures_used (
  digest bytea primary key,
  expires_at timestamptz not null
);
create index on signatures_used (expires_at);

-- Without a role a key has that which follows from what it is for; see bearer_role in model/access.py.
alter table ingest_keys
  add column role_id text,
  add column rate_per_s double precision,
  add column burst integer,
  add constraint ingest_keys_rate check ((rate_per_s is null) = (burst is null));

create view key_overviews as
  select id, property_id, 'access' as kind, name, role_id, access_key, false as manages, null as application_id,
         replay_protected, rate_per_s, burst, created_at, rotated_at, previous_until, expires_at, revoked_at
  from access_keys
  union all
  select id, property_id, 'bearer', name, role_id, null, manages, application_id,
         false, rate_per_s, burst, created_at, null, null, null, revoked_at
  from ingest_keys;
