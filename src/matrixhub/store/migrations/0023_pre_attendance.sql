-- Systems that tell when people come and go, and which seat each of their people fills. See model/attendance.py.

create table attendance_integrations (
  id text primary key,
  property_id text not null references properties on delete cascade,
  name text not null,
  building_id text references buildings on delete set null,  -- that of who asks about no other
  users jsonb not null,                -- id in the source -> id of a seat
  created_at timestamptz not null,
  updated_at timestamptz not null,
  version bigint not null default 1
);
create index on attendance_integrations (property_id, created_at, id);
