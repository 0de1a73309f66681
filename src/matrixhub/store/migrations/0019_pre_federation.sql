-- Identity applications: whose users a property lets in, and as what; and what is asked for of solutions.

create table identity_applications (
  id text primary key,             -- the QUID, `quid_…`, that requests carry in x-sc-auth
  property_id text not null references properties on delete cascade,
  name text not null,
  provider text not null check (provider in ('azure_ad', 'auth0', 'firebase', 'cognito', 'other')),
  token_kind text not null check (token_kind in ('identity', 'access')),
  issuer text not null,
  audience text not null,          -- the client the tokens are for
  jwks_url text not null,
  ca_pem text not null,            -- '' for the authorities of the system
  user_claim text not null,
  role_id text not null,
  boundary_id text,
  enabled boolean not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  version bigint not null
);
create index on identity_applications (property_id, created_at, id);

create constraint trigger count_version after insert or update or delete on identity_applications
  deferrable initially deferred for each row execute function count_access();

-- Tasks are counted by the day they were completed.
create index work_orders_completed on work_orders (building_id, closed_at) where type = 'TASK' and status = 'COMPLETED';

-- Which solutions a property has asked for, and what was decided. Without a row nobody has asked.
create table property_solutions (
  property_id text not null references properties on delete cascade,
  solution_id text not null,
  status text not null check (status in ('PENDING', 'APPROVED', 'DENIED')),
  requested_by text not null,
  requested_at timestamptz not null,
  decided_by text,
  decided_at timestamptz,
  primary key (property_id, solution_id)
);
