-- Events: what happened, in the order of commits, and who passes it on; timers; seats and shifts.

-- Every event of the platform and of applications, as it is delivered. `number` counts up without a gap in the order of
-- commits, `at` never goes back with it: both are given under the lock of `event_head`, which is held until the commit.
-- It is the outbox of the relay and the event log at once.
create table events (
  at timestamptz not null,
  number bigint not null,
  property_id text not null,
  principal text not null,         -- the word in the routing key
  module text not null,
  event text not null,
  priority text not null,
  happened_at timestamptz not null,
  line text not null,              -- the envelope, JSON; see model/event.py
  primary key (at, number)
) partition by range (at);
create index on events (property_id, principal, module, happened_at desc, number desc);
create table events_default partition of events default;

create table event_head (
  one boolean primary key default true check (one),
  number bigint not null,
  at timestamptz not null
) with (fillfactor = 10);
insert into event_head (number, at) values (0, '2001-01-01T00:00:00Z');

-- How far the relay has come: event `number`, recorded at `at`, is message `seq` of the stream EVENTS.
create table relay_progress (
  one boolean primary key default true check (one),
  number bigint not null,
  at timestamptz not null,
  seq bigint not null
) with (fillfactor = 10);
insert into relay_progress (number, at, seq) values (0, '2001-01-01T00:00:00Z', 0);

-- Subscriptions to events. Their filter names its source; that of readings is as it was.
alter table subscriptions
  add column source text not null generated always as (coalesce(filter ->> 'source', 'sensors')) stored;

-- The lane for what is urgent: messages `express_from` up to, but without, `express_to` were settled ahead of the
-- position where their priority is HIGH; `express_sending` is the end of the push of that lane that is on its way.
alter table subscription_progress
  add column express_from bigint,
  add column express_to bigint,
  add column express_sending bigint;

create table stream_floors (
  source text primary key,
  seq bigint not null
);
insert into stream_floors (source, seq) select 'sensors', seq from stream_floor;
insert into stream_floors (source, seq) values ('events', 1);

create or replace view subscription_overviews as
select s.id, s.property_id, s.name, s.filter, s.url, s.ca_pem, s.auth, s.auth_secret, s.batch_items, s.batch_bytes,
  s.state, s.created_at, s.updated_at, s.kind, s.destination, s.secrets, s.policy, s.format, s.signing, s.notify,
  s.paused_by, s.paused_reason, s.version, p.owner, p.fence, p.position_seq, p.position_item, p.sending_seq,
  p.sending_item, p.lanes_done, p.step,
  p.epoch, p.delivered, p.parked, p.expired, p.skipped, p.replayed, p.accepted, p.accepted_seq, p.attempts_failed,
  p.failures, p.failing_since, p.retry_at, p.last_error, p.last_delivered_at,
  case when p.redrive_asked > p.redrive_done then p.redrive_asked else 0 end as redrive,
  array(select e.target from egress_allowances e where e.property_id = s.property_id) as egress_allow,
  r.id as replay_id, r.from_seq as replay_seq, r.from_item as replay_item, p.ahead,
  p.accepted_item, s.source, p.express_from, p.express_to, p.express_sending
from subscriptions s
  join subscription_progress p on p.subscription_id = s.id
  left join lateral (
    select * from replays r where r.subscription_id = s.id and r.begun_at is null order by r.requested_at, r.id limit 1
  ) r on true;

-- What is to happen at a time. A timer fires in the transaction that does what it is for, and is gone with it.
create table timers (
  kind text not null,
  entity_id text not null,
  property_id text not null references properties on delete cascade,
  due_at timestamptz not null,
  failures integer not null default 0,
  last_error text not null default '',
  primary key (kind, entity_id)
);
create index on timers (due_at);

-- Settings of incidents and shifts that differ from the published defaults; see model/workforce_settings.py.
create table workforce_settings (
  building_id text primary key references buildings on delete cascade,
  property_id text not null references properties on delete cascade,
  incident jsonb not null default '{}',
  schedule jsonb not null default '{}',
  updated_at timestamptz not null default now()
);

-- A position in the workforce of a property, filled by one person.
create table seats (
  id text primary key,             -- <PropId>_<number>
  property_id text not null references properties on delete cascade,
  number integer not null,
  name text not null,
  email text not null default '',
  team text not null default '',
  active boolean not null default true,
  created_at timestamptz not null default now(),
  version bigint not null default 1,
  unique (property_id, number)
);

create table shifts (
  id text primary key,             -- UUID with dashes
  property_id text not null references properties on delete cascade,
  building_id text not null references buildings on delete cascade,
  seat_id text not null references seats on delete cascade,
  starts_at timestamptz not null,
  ends_at timestamptz not null,
  started_at timestamptz,
  ended_at timestamptz,
  time_zone text not null,
  status text not null,            -- see model/shift.py
  delayed boolean not null default false,
  on_break boolean not null default false,
  zones jsonb not null default '{}',        -- zone id → name; empty: all
  created_by text not null default '',
  created_at timestamptz not null default now(),
  updated_by text not null default '',
  updated_at timestamptz not null default now(),
  version bigint not null default 1
);
create index on shifts (property_id, building_id, starts_at);
create index on shifts (seat_id, starts_at);
