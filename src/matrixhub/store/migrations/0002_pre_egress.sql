-- What each property may be pushed to although it is not on the public internet.

create table egress_allowances (
  property_id text not null references properties on delete cascade,
  target text not null,            -- canonical: a network, a host name or *.domain; see model/egress.py
  created_at timestamptz not null default now(),
  primary key (property_id, target)
);
