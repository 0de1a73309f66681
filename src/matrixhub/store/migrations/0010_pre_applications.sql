-- Applications: who else may make events, how many, and with which keys.

create table applications (
  property_id text not null references properties on delete cascade,
  id text not null,                -- the module of its events
  name text not null default '',
  per_minute integer not null,
  burst integer not null,
  per_day integer not null,
  created_at timestamptz not null default now(),
  revoked_at timestamptz,
  version bigint not null default 1,
  -- The bucket of tokens, as it was at an instant, and the events of a day in UTC; see model/application.py.
  tokens double precision not null,
  tokens_at timestamptz not null default now(),
  day date not null default '2001-01-01',
  day_events integer not null default 0,
  primary key (property_id, id)
) with (fillfactor = 70);

-- A key of an application publishes its events, and does nothing else.
alter table ingest_keys
  add column application_id text,
  add foreign key (property_id, application_id) references applications on delete cascade,
  add constraint application_keys_do_not_manage check (application_id is null or not manages);

-- The log of a property by time, whatever the principal or module.
create index on events (property_id, happened_at desc, number desc);
