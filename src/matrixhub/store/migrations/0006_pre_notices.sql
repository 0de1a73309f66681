-- Notices: what is told about the health of subscriptions, and what was told last.

-- Only subscriptions with somewhere to tell it are watched.
alter table subscriptions add column has_channel boolean not null generated always as (
  coalesce(notify ->> 'url', '') <> '' or coalesce(notify ->> 'subscription_id', '') <> ''
) stored;
create index on subscriptions (id) where state = 'paused' and has_channel;

-- `parked_untold` counts the readings parked since that was told last; unlike `parked` it does not shrink by itself.
alter table subscription_progress
  add column parked_untold bigint not null default 0,
  add column told_trouble text not null default ''
    check (told_trouble in ('', 'failing', 'suspended', 'resumed')),
  add column told_at timestamptz,
  add column told_delivered bigint not null default 0,   -- `delivered` when that was told
  add column told_parked_at timestamptz,
  add column told_expiring_at timestamptz;
create index on subscription_progress (subscription_id)
  where failures > 0 or told_trouble <> '' or parked_untold <> 0;

-- The outbox. No foreign key: a subscription is deleted without waiting for who tells of it.
create table notices (
  id uuid primary key,
  subscription_id text not null,
  property_id text not null,
  kind text not null,
  at timestamptz not null,
  body jsonb not null,             -- never a secret, see model/notice.py
  attempts integer not null default 0,
  next_at timestamptz not null,
  delivered_at timestamptz,
  given_up_at timestamptz,
  last_error text not null default ''
);
create index on notices (next_at) where delivered_at is null and given_up_at is null;
create index on notices (property_id, at desc, id desc);
create index on notices (subscription_id);
