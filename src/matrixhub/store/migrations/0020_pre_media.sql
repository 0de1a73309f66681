-- Media attachments: pictures and videos that go with incidents and audits.

create table media (
  id text primary key,
  property_id text not null references properties on delete cascade,
  kind text not null,                -- see model/media.py
  entity text not null,
  media_type text not null,          -- told by the first bytes
  size_bytes integer not null,
  content bytea not null,
  thumbnail bytea,                   -- null for a video
  created_by text not null,
  created_at timestamptz not null
);
create index on media (property_id, created_at, id) include (size_bytes);

-- They are compressed by themselves.
alter table media alter column content set storage external, alter column thumbnail set storage external;
