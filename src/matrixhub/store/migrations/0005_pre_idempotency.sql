-- Requests that made something, so that a repeat under the same key gets the same answer.

create table idempotency_keys (
  property_id text not null references properties on delete cascade,
  key text not null,
  sealed bytea not null,           -- sealed JSON: digest of the request, answer; see store/idempotency.py
  created_at timestamptz not null default now(),
  primary key (property_id, key)
);
create index on idempotency_keys (created_at);
