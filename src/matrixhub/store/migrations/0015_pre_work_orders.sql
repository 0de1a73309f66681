-- Work orders: incidents and tasks, what happened to them, what people said about them, and who is told when.

-- The last six digits of an id count up, so that two of the same millisecond differ.
create sequence work_order_numbers minvalue 1 maxvalue 999999 cycle;

create table work_orders (
  id text primary key,             -- 19 digits, see model/ids.py
  property_id text not null references properties on delete cascade,
  building_id text not null references buildings on delete cascade,
  type text not null check (type in ('INCIDENT', 'TASK')),
  status text not null,            -- see model/work_order.py
  name text not null,
  description text not null,
  priority text not null check (priority in ('H', 'M', 'N', 'L')),
  raised_by text not null,
  event_source text not null,
  subject text not null,
  source_slots text[] not null,
  zone_id text not null,           -- a zone may be removed while its work orders stay
  zone_name text not null,
  zone_category text not null,
  starts_at timestamptz not null,
  ends_at timestamptz not null,
  timeout_s integer not null,      -- how long after its end it becomes incomplete
  started_at timestamptz,
  closed_at timestamptz,           -- completed or incomplete
  auto_assigned boolean not null,
  delayed boolean not null,
  seat_id text,
  shift_id text,                   -- the seat once more where it is assigned to the seat itself
  assigned_at timestamptz,
  announced boolean not null,      -- it had an assignee before
  reassigned integer not null,
  opened_at timestamptz not null,  -- from when it counts as unassigned
  policy_id text not null,         -- '' where no policy goes for it
  policy_version bigint not null,
  escalation_type text not null,
  escalation_level smallint not null,
  escalated jsonb not null,        -- highest level that was reached, by type
  tasks jsonb not null,
  attachments jsonb not null,
  created_by text not null,
  created_at timestamptz not null,
  updated_by text not null,
  updated_at timestamptz not null,
  version bigint not null
) with (fillfactor = 80);
create index on work_orders (building_id, starts_at, id);
create index on work_orders (property_id, starts_at, id);
create index on work_orders (zone_id, starts_at, id);
create index on work_orders (seat_id, assigned_at) where seat_id is not null;
create index on work_orders (shift_id) where shift_id is not null;
-- What a seat has to do, for fair shares.
create index work_orders_on_hand on work_orders (seat_id)
  where type = 'INCIDENT' and status in ('PUBLISHED', 'STARTED', 'PAUSED');

-- Every act, also of what was deleted: there is no foreign key to the work order.
create table work_order_history (
  work_order_id text not null,
  number bigint generated always as identity,
  property_id text not null references properties on delete cascade,
  at timestamptz not null,
  actor text not null,
  act text not null,
  status text not null,
  detail jsonb not null,
  primary key (work_order_id, number)
);

create table work_order_comments (
  id text primary key,             -- UUID with dashes
  work_order_id text not null references work_orders on delete cascade,
  user_name text not null,
  comment text not null,
  created_by text not null,
  created_at timestamptz not null,
  updated_at timestamptz not null
);
create index on work_order_comments (work_order_id, created_at, id);

-- A policy keeps its versions: a work order goes by the one that was in force when it was opened.
create table escalation_policies (
  building_id text not null references buildings on delete cascade,
  id text not null,
  property_id text not null references properties on delete cascade,
  version bigint not null,
  primary key (building_id, id)
);
create table escalation_policy_versions (
  building_id text not null,
  policy_id text not null,
  version bigint not null,
  document jsonb not null,         -- as model/escalation.py writes it
  created_by text not null,
  created_at timestamptz not null,
  primary key (building_id, policy_id, version),
  foreign key (building_id, policy_id) references escalation_policies on delete cascade
);

-- The outbox of escalations: who is to be told what. Nothing here sends it.
create table escalation_notices (
  id uuid primary key,
  property_id text not null references properties on delete cascade,
  building_id text not null,
  work_order_id text not null,
  type text not null,
  level smallint not null,
  entity text not null,            -- a seat or an address; never `$assignee`
  medium text not null,
  details jsonb not null,
  at timestamptz not null,
  sent_at timestamptz
);
create index on escalation_notices (at) where sent_at is null;
create index on escalation_notices (work_order_id);

-- The catalogue tasks are taken from.
create table custom_tasks (
  id text primary key,
  property_id text not null references properties on delete cascade,
  name text not null,
  document jsonb not null,
  unique (property_id, name)
);
create table task_groups (
  id text primary key,
  property_id text not null references properties on delete cascade,
  name text not null,
  tasks jsonb not null,
  zone_categories text[] not null, -- empty: all
  unique (property_id, name)
);
