-- Delivery: all schemes, policies, parked readings, attempts, replays, tokens.

alter table ingest_keys add column manages boolean not null default false;   -- may also manage subscriptions

alter table subscriptions
  add column kind text not null default 'https',
  add column destination jsonb not null default '{}',    -- framing, names of headers, client certificate
  add column secrets bytea,                              -- sealed JSON: all that must not be seen, see store/documents.py
  add column policy jsonb not null default '{}',         -- only what differs from the settings
  add column format jsonb not null default '{}',
  add column signing jsonb not null default '[]',        -- the keys without their secrets
  add column notify jsonb not null default '{}',
  add column paused_by text not null default '' check (paused_by in ('', 'hand', 'policy')),
  add column paused_reason text not null default '',
  add column version bigint not null default 1;
update subscriptions set paused_by = 'hand' where state = 'paused';

-- `accepted` counts the readings of messages before `accepted_seq` that the subscription wants, as counted by the
-- auditor, who looks at the stream only; null until it has.
alter table subscription_progress
  add column step bigint not null default 0,
  add column epoch integer not null default 0,
  add column lanes_done bigint not null default 0,
  add column skipped bigint not null default 0,
  add column replayed bigint not null default 0,
  add column accepted bigint not null default 0,
  add column accepted_seq bigint not null default 1,
  add column redrive_asked bigint not null default 0,    -- how often parked readings were asked for …
  add column redrive_done bigint not null default 0,     -- … and up to which time they were sent
  add column failures integer not null default 0,
  add column failing_since timestamptz,
  add column retry_at timestamptz;
update subscription_progress
  set accepted = delivered + parked + expired - position_item, accepted_seq = position_seq;

create table attempts (
  at timestamptz not null,
  id uuid not null,
  subscription_id text not null,
  kind text not null,              -- push, redrive or test
  request_id text not null,
  attempt integer not null,
  items integer not null,
  size_bytes integer not null,
  start_seq bigint,
  start_item integer,
  end_seq bigint,
  end_item integer,
  http_status integer not null,    -- 0: no answer came
  seconds real not null,
  code text not null,              -- '' where it was taken
  error text not null,
  answer text not null,            -- its first signs, secrets hidden
  primary key (at, id)
) partition by range (at);
create index on attempts (subscription_id, at desc, id desc);

create table parked (
  parked_at timestamptz not null,
  id uuid not null,
  subscription_id text not null,
  seq bigint not null,
  item integer not null,
  line text not null,              -- the reading, JSON
  code text not null,
  reason text not null,
  http_status integer not null,
  request_id text not null,
  redrive_at timestamptz,          -- asked to be sent again since then
  primary key (parked_at, id)
) partition by range (parked_at);
create index on parked (subscription_id, parked_at, id);
create index on parked (subscription_id, parked_at, id) where redrive_at is not null;

-- What lands outside of the partitions made ahead is kept here until there is one for it.
create table attempts_default partition of attempts default;
create table parked_default partition of parked default;

create table replays (
  id text primary key,
  subscription_id text not null references subscriptions on delete cascade,
  from_seq bigint not null,
  from_item integer not null default 0,
  to_seq bigint,                   -- where the subscription was when it went back
  to_item integer,
  items bigint,                    -- how many readings come again, counted at that moment
  requested_at timestamptz not null default now(),
  begun_at timestamptz
);
create index on replays (subscription_id, requested_at);
create index on replays (subscription_id) where begun_at is null;

-- One row for each subscription with OAuth 2.0: the token in force, and who is renewing it.
create table tokens (
  subscription_id text primary key references subscriptions on delete cascade,
  config_digest bytea not null,    -- of the authentication it belongs to
  version bigint not null default 0,
  sealed bytea,                    -- sealed JSON: access token, refresh token
  expires_at timestamptz,
  renewing_by text,
  renewing_until timestamptz
) with (fillfactor = 50);

-- A subscription with its progress, what is asked of it, and what its property may reach.
create view subscription_overviews as
select s.*, p.owner, p.fence, p.position_seq, p.position_item, p.sending_seq, p.sending_item, p.lanes_done, p.step,
  p.epoch, p.delivered, p.parked, p.expired, p.skipped, p.replayed, p.accepted, p.accepted_seq, p.attempts_failed,
  p.failures, p.failing_since, p.retry_at, p.last_error, p.last_delivered_at,
  case when p.redrive_asked > p.redrive_done then p.redrive_asked else 0 end as redrive,
  array(select e.target from egress_allowances e where e.property_id = s.property_id) as egress_allow,
  r.id as replay_id, r.from_seq as replay_seq, r.from_item as replay_item
from subscriptions s
  join subscription_progress p on p.subscription_id = s.id
  left join lateral (
    select * from replays r where r.subscription_id = s.id and r.begun_at is null order by r.requested_at, r.id limit 1
  ) r on true;
