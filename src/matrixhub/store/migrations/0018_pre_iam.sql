-- Who may do what: roles of a property, groups of users that have them, and who changed which of them when. The documents
-- are those of model/iam.py, checked as a whole before they are kept.

create table iam_roles (
  property_id text not null references properties on delete cascade,
  name text not null,                  -- what keys, groups and applications refer to
  document jsonb not null,
  pending_since timestamptz,           -- since when it is PENDING_DEPRECATION
  version bigint not null default 1,
  created_by text not null,
  created_at timestamptz not null,
  updated_by text not null,
  updated_at timestamptz not null,
  primary key (property_id, name)
);

create table iam_groups (
  property_id text not null references properties on delete cascade,
  name text not null,
  role_id text not null,               -- the name of a role of the property or of the system
  version bigint not null default 1,
  created_by text not null,
  created_at timestamptz not null,
  updated_by text not null,
  updated_at timestamptz not null,
  primary key (property_id, name)
);

-- Everybody is in one group at most, so that there is one role for each.
create table iam_members (
  property_id text not null,
  kind text not null check (kind in ('seat', 'user', 'key')),
  member text not null,
  group_name text not null,
  primary key (property_id, kind, member),
  foreign key (property_id, group_name) references iam_groups on delete cascade
);
create index on iam_members (property_id, group_name);

create table iam_changes (
  number bigint generated always as identity primary key,
  property_id text not null references properties on delete cascade,
  kind text not null check (kind in ('role', 'group')),
  name text not null,
  act text not null check (act in ('created', 'changed', 'removed')),
  version bigint not null,
  document jsonb not null,             -- as it is since; as it was, where it was removed
  actor text not null,
  at timestamptz not null
);
create index on iam_changes (property_id, kind, name, number);

create constraint trigger count_access after insert or update or delete on iam_roles
  deferrable initially deferred for each row execute function count_access();
create constraint trigger count_access after insert or update or delete on iam_groups
  deferrable initially deferred for each row execute function count_access();
create constraint trigger count_access after insert or update or delete on iam_members
  deferrable initially deferred for each row execute function count_access();

-- The organisation is part of the name of a principal; a seat is found by its e-mail address.
create constraint trigger count_access after insert or delete or update of organisation_id on properties
  deferrable initially deferred for each row execute function count_access();
create constraint trigger count_access after insert or delete or update of email, active on seats
  deferrable initially deferred for each row execute function count_access();
