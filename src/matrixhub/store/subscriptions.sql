-- Subscriptions as they are configured, and how far they have come.

-- name: create
insert into subscriptions
  (id, property_id, name, filter, url, ca_pem, auth, batch_items, batch_bytes, kind, destination, policy, format,
   signing, notify, secrets, state)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, 'active')
returning created_at;

-- What lies before the floor is about to be removed, so nobody begins there.
-- name: create_progress
insert into subscription_progress (subscription_id, position_seq, accepted_seq)
select $1, greatest($2::bigint, f.seq), greatest($2::bigint, f.seq)
from subscriptions s join stream_floors f on f.source = s.source where s.id = $1 for share of f;

-- A key that another write took the version of finds no row. With another filter, what is accepted is counted anew from
-- the position on; what lies before it is what became of it.
-- name: update
with eager as (
  update subscription_progress p set
    retry_at = null,
    -- With another filter the readings in front of it are others: who is sending some loses the subscription, what was
    -- settled before its turn comes again, and what is accepted counts from here.
    fence = p.fence + n.differs, owner = case when n.differs = 1 then null else p.owner end,
    sending_seq = case when n.differs = 1 then null else p.sending_seq end,
    sending_item = case when n.differs = 1 then null else p.sending_item end,
    lanes_done = case when n.differs = 1 then 0 else p.lanes_done end,
    express_from = case when n.differs = 1 then null else p.express_from end,
    express_to = case when n.differs = 1 then null else p.express_to end,
    express_sending = case when n.differs = 1 then null else p.express_sending end,
    replayed = p.replayed + n.differs * p.ahead,
    ahead = p.ahead - n.differs * p.ahead,
    accepted = case when n.differs = 1
      then p.delivered + p.parked + p.expired + p.skipped - p.replayed - p.ahead else p.accepted end,
    accepted_seq = case when n.differs = 1 then p.position_seq else p.accepted_seq end,
    accepted_item = case when n.differs = 1 then p.position_item else p.accepted_item end
  from (
    select id, (filter <> $5)::integer as differs from subscriptions where property_id = $1 and id = $2 and version = $3
  ) n
  where p.subscription_id = n.id
)
update subscriptions set
  name = $4, filter = $5, url = $6, ca_pem = $7, auth = $8, batch_items = $9, batch_bytes = $10, kind = $11,
  destination = $12, policy = $13, format = $14, signing = $15, notify = $16, secrets = $17, auth_secret = null,
  version = version + 1, updated_at = now()
where property_id = $1 and id = $2 and version = $3
returning version;

-- name: delete
delete from subscriptions
where property_id = $1 and id = $2 and ($3::bigint is null or version = $3) returning id;

-- name: delete_attempts
delete from attempts where subscription_id = $1;

-- name: delete_parked
delete from parked where subscription_id = $1;

-- name: delete_notices
delete from notices where subscription_id = $1;

-- name: list
select * from subscription_overviews where property_id = $1 order by created_at, id;

-- name: list_page
select * from subscription_overviews
where property_id = $1 and (created_at, id) > (coalesce($2, '-infinity'::timestamptz), coalesce($3, ''))
order by created_at, id limit $4;

-- name: show
select * from subscription_overviews where property_id = $1 and id = $2;

-- name: property_of
select property_id from subscriptions where id = $1;

-- name: leads_to_database
select database_id is not null from subscriptions where id = $1;

-- name: property_ids
select distinct property_id from subscriptions order by property_id;

-- A subscription that is made active again is tried at once.
-- name: set_state
with changed as (
  update subscriptions set state = $3, paused_by = $4, paused_reason = $5, version = version + 1, updated_at = now()
  where property_id = $1 and id = $2 returning id
), eager as (
  update subscription_progress set retry_at = null, failures = 0, failing_since = null
  where $3 = 'active' and subscription_id in (select id from changed)
)
select id from changed;

-- name: heartbeat
insert into workers (id, expires_at) values ($1, clock_timestamp() + make_interval(secs => $2))
on conflict (id) do update set expires_at = excluded.expires_at;

-- name: forget_dead_workers
delete from workers where expires_at < clock_timestamp() - interval '1 hour';

-- name: fair_share
select ceil(
  (select count(*) from subscriptions where state = 'active')::numeric
  / greatest(1, (select count(*) from workers where expires_at > clock_timestamp()))
)::bigint;

-- A subscription is free when nobody owns it or its owner has not been heard of in time.
-- name: claim
with free as (
  select p.subscription_id
  from subscription_progress p join subscriptions s on s.id = p.subscription_id
  where s.state = 'active'
    and (p.owner is null
      or not exists (select from workers w where w.id = p.owner and w.expires_at > clock_timestamp()))
  order by p.subscription_id
  limit $2
  for update of p skip locked
)
update subscription_progress p set owner = $1, fence = p.fence + 1
from free where p.subscription_id = free.subscription_id
returning p.subscription_id;

-- name: show_all
select * from subscription_overviews where id = any($1);

-- name: owned
select * from subscription_overviews where owner = $1 and state = 'active';

-- name: owned_among
select * from subscription_overviews where id = any($2) and owner = $1 and state = 'active';

-- name: release
update subscription_progress set owner = null where owner = $1 and subscription_id = any($2);

-- name: release_all
update subscription_progress set owner = null where owner = $1;

-- name: forget_worker
delete from workers where id = $1;

-- Every step names the fence it was made under; a step of an older owner finds no row. A step whose answer was lost is
-- saved again: its number is there already, and it changes nothing. One that goes back to where retention removes
-- readings finds no row either. What is counted while the position stays lies ahead of it.
-- name: advance
with steps as (
  select * from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::integer[], $7::bigint[],
      $8::integer[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::integer[],
      $15::timestamptz[], $16::timestamptz[], $17::text[], $18::boolean[], $19::bigint[], $20::bigint[], $21::bigint[],
      $22::bigint[], $23::bigint[])
    as a (id, owner, fence, step, position_seq, position_item, sending_seq, sending_item, lanes_done, delivered, skipped,
      replayed, attempts_failed, failures, failing_since, retry_at, last_error, replays, redrive_done, ahead,
      express_from, express_to, express_sending)
), floor as (
  select source, seq from stream_floors where exists (select from steps where replays) for share
), held as (
  select p.subscription_id, p.step < a.step as fresh
  from subscription_progress p join steps a on a.id = p.subscription_id join subscriptions s on s.id = a.id
  where p.owner = a.owner and p.fence = a.fence
    and not (a.replays and p.step < a.step
      and a.position_seq < (select f.seq from floor f where f.source = s.source))
  for update of p
), moved as (
  update subscription_progress p set
    step = a.step,
    position_seq = coalesce(a.position_seq, p.position_seq),
    position_item = coalesce(a.position_item, p.position_item),
    sending_seq = a.sending_seq,
    sending_item = a.sending_item,
    lanes_done = a.lanes_done,
    express_from = a.express_from,
    express_to = a.express_to,
    express_sending = a.express_sending,
    ahead = case when a.position_seq is null then p.ahead + a.delivered + a.skipped else a.ahead end,
    delivered = p.delivered + a.delivered,
    skipped = p.skipped + a.skipped,
    replayed = p.replayed + a.replayed,
    epoch = p.epoch + a.replays::integer,
    attempts_failed = p.attempts_failed + a.attempts_failed,
    failures = a.failures,
    failing_since = a.failing_since,
    retry_at = a.retry_at,
    redrive_done = greatest(p.redrive_done, a.redrive_done),
    last_error = case when a.delivered > 0 then '' when a.last_error <> '' then a.last_error else p.last_error end,
    last_delivered_at = case when a.delivered > 0 then clock_timestamp() else p.last_delivered_at end
  from steps a join held h on h.subscription_id = a.id
  where p.subscription_id = a.id and h.fresh
), kept as (
  insert into attempts (subscription_id, at, id, kind, request_id, attempt, items, size_bytes, start_seq, start_item,
    end_seq, end_item, http_status, seconds, code, error, answer)
  select t.* from unnest($24::text[], $25::timestamptz[], $26::uuid[], $27::text[], $28::text[], $29::integer[],
      $30::integer[], $31::integer[], $32::bigint[], $33::integer[], $34::bigint[], $35::integer[], $36::integer[],
      $37::real[], $38::text[], $39::text[], $40::text[])
    as t (subscription_id, at, id, kind, request_id, attempt, items, size_bytes, start_seq, start_item, end_seq,
      end_item, http_status, seconds, code, error, answer)
    join held h on h.subscription_id = t.subscription_id and h.fresh
)
select subscription_id, fresh from held;

-- $11: the position stays, so they lie ahead of it.
-- name: park
with added as (
  insert into parked (subscription_id, parked_at, id, seq, item, line, code, reason, http_status, request_id)
  select * from unnest($1::text[], $2::timestamptz[], $3::uuid[], $4::bigint[], $5::integer[], $6::text[], $7::text[],
    $8::text[], $9::integer[], $10::text[])
  returning subscription_id
)
update subscription_progress p set parked = p.parked + a.n, parked_untold = p.parked_untold + a.n,
  ahead = p.ahead + case when $11 then a.n else 0 end
from (select subscription_id, count(*) as n from added group by 1) a where p.subscription_id = a.subscription_id;

-- Parked readings that retention took meanwhile stay expired.
-- name: unpark
with gone as (
  delete from parked where subscription_id = $1 and id = any($2) returning id
)
update subscription_progress set
  parked = parked - (select count(*) from gone),
  delivered = delivered + (select count(*) from gone),
  last_delivered_at = clock_timestamp()
where subscription_id = $1;

-- name: keep_parked
update parked k set redrive_at = null, reason = t.reason
from unnest($2::uuid[], $3::text[]) as t (id, reason)
where k.subscription_id = $1 and k.id = t.id;

-- name: to_redrive
select id, subscription_id, parked_at, seq, item, line, code, reason, http_status, request_id, redrive_at
from parked where subscription_id = $1 and redrive_at is not null order by parked_at, id limit $2;

-- name: begin_replay
update replays set begun_at = clock_timestamp(), to_seq = $3, to_item = $4, items = $5
where subscription_id = $1 and id = $2;

-- name: pause_by_policy
update subscriptions set state = 'paused', paused_by = 'policy', paused_reason = $2, version = version + 1,
  updated_at = now()
where id = $1 and state = 'active';
