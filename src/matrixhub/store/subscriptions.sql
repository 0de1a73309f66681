-- Subscriptions as they are configured, and how far they have come.

-- name: create
insert into subscriptions
  (id, property_id, name, filter, url, ca_pem, auth, auth_secret, batch_items, batch_bytes, state)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'active')
returning created_at;

-- name: create_progress
insert into subscription_progress (subscription_id, position_seq) values ($1, $2);

-- name: list
select s.*, p.owner, p.fence, p.position_seq, p.position_item, p.sending_seq, p.sending_item, p.delivered, p.parked,
  p.expired, p.attempts_failed, p.last_error, p.last_delivered_at,
  array(select e.target from egress_allowances e where e.property_id = s.property_id) as egress_allow
from subscriptions s join subscription_progress p on p.subscription_id = s.id
where s.property_id = $1 order by s.created_at, s.id;

-- name: show
select s.*, p.owner, p.fence, p.position_seq, p.position_item, p.sending_seq, p.sending_item, p.delivered, p.parked,
  p.expired, p.attempts_failed, p.last_error, p.last_delivered_at,
  array(select e.target from egress_allowances e where e.property_id = s.property_id) as egress_allow
from subscriptions s join subscription_progress p on p.subscription_id = s.id
where s.property_id = $1 and s.id = $2;

-- name: property_of
select property_id from subscriptions where id = $1;

-- name: property_ids
select distinct property_id from subscriptions order by property_id;

-- name: set_state
update subscriptions set state = $3, updated_at = now() where property_id = $1 and id = $2 returning id;

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
), taken as (
  update subscription_progress p set owner = $1, fence = p.fence + 1
  from free where p.subscription_id = free.subscription_id
  returning p.*
)
select s.*, t.owner, t.fence, t.position_seq, t.position_item, t.sending_seq, t.sending_item, t.delivered, t.parked,
  t.expired, t.attempts_failed, t.last_error, t.last_delivered_at,
  array(select e.target from egress_allowances e where e.property_id = s.property_id) as egress_allow
from taken t join subscriptions s on s.id = t.subscription_id;

-- name: owned
select s.*, p.owner, p.fence, p.position_seq, p.position_item, p.sending_seq, p.sending_item, p.delivered, p.parked,
  p.expired, p.attempts_failed, p.last_error, p.last_delivered_at,
  array(select e.target from egress_allowances e where e.property_id = s.property_id) as egress_allow
from subscription_progress p join subscriptions s on s.id = p.subscription_id
where p.owner = $1 and s.state = 'active';

-- name: release
update subscription_progress set owner = null where owner = $1 and subscription_id = any($2);

-- name: release_all
update subscription_progress set owner = null where owner = $1;

-- name: forget_worker
delete from workers where id = $1;

-- Every step names the fence it was made under; a step of an older owner finds no row.
-- name: advance
update subscription_progress p set
  position_seq = coalesce(a.position_seq, p.position_seq),
  position_item = coalesce(a.position_item, p.position_item),
  sending_seq = a.sending_seq,
  sending_item = a.sending_item,
  -- A step whose answer was lost is saved again: a position that is there already is not counted twice.
  delivered = p.delivered + case when (p.position_seq, p.position_item) = (a.position_seq, a.position_item) then 0
    else a.delivered end,
  attempts_failed = p.attempts_failed + a.attempts_failed,
  last_error = case when a.delivered > 0 then '' when a.last_error <> '' then a.last_error else p.last_error end,
  last_delivered_at = case when a.delivered > 0 then clock_timestamp() else p.last_delivered_at end
from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::integer[], $6::bigint[], $7::integer[],
    $8::bigint[], $9::bigint[], $10::text[])
  as a (id, owner, fence, position_seq, position_item, sending_seq, sending_item, delivered, attempts_failed, last_error)
where p.subscription_id = a.id and p.owner = a.owner and p.fence = a.fence
returning p.subscription_id;
