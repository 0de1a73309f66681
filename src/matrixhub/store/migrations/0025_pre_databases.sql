-- Customers' databases. Source: docs/decisions/0021-databases.md

create table databases (
  id text primary key,
  property_id text not null references properties,
  name text not null,
  hosting text not null check (hosting in ('hub', 'customer')),
  host text not null,              -- '' where the hub hosts it
  port integer not null,
  database text not null,
  user_name text not null,         -- who writes
  password bytea not null,         -- sealed, see store/sealing.py
  tls text not null check (tls in ('verify-full', 'verify-ca', 'require', 'disable')),
  ca_pem text not null,
  may_create boolean not null,
  limits jsonb not null,
  reader text not null,            -- the role that queries, where the hub hosts it
  version bigint not null default 1,
  created_at timestamptz not null default now(),
  unique (property_id, name)
);
create unique index on databases (database) where hosting = 'hub';
