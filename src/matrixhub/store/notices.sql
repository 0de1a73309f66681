-- Notices about the health of subscriptions: what there is to tell, and what waits to be sent.

-- A first look without locks, at few rows by their indexes: those that fail, those whose trouble was told, those with
-- readings parked since, those that the policy paused. What was told and goes on is left out.
-- name: of_concern
select p.subscription_id, s.state, s.paused_by, p.failures, p.failing_since, p.delivered, p.parked, p.parked_untold,
  p.told_trouble, p.told_at, p.told_delivered, p.told_parked_at, p.told_expiring_at
from subscription_progress p join subscriptions s on s.id = p.subscription_id
where s.has_channel and (p.failures > 0 or p.told_trouble <> '' or p.parked_untold <> 0)
  and not (p.parked_untold = 0 and p.told_trouble = 'failing' and p.failures > 0 and s.state = 'active')
  and not (p.parked_untold = 0 and p.told_trouble = 'suspended' and s.state = 'paused' and s.paused_by = 'policy')
union all
select p.subscription_id, s.state, s.paused_by, p.failures, p.failing_since, p.delivered, p.parked, p.parked_untold,
  p.told_trouble, p.told_at, p.told_delivered, p.told_parked_at, p.told_expiring_at
from subscriptions s join subscription_progress p on p.subscription_id = s.id
where s.state = 'paused' and s.has_channel and s.paused_by = 'policy'
  and not (p.failures > 0 or p.told_trouble <> '' or p.parked_untold <> 0);

-- name: paused_page
select o.* from subscription_overviews o
  join subscriptions s on s.id = o.id
  join subscription_progress p on p.subscription_id = o.id
where s.state = 'paused' and s.has_channel and s.id > $1
  and (p.told_expiring_at is null or p.told_expiring_at <= $2)
order by s.id limit $3;

-- Who tells holds the row; another process skips it rather than wait.
-- name: lock_told
select subscription_id from subscription_progress where subscription_id = any($1)
order by subscription_id for update skip locked;

-- A statement after the lock sees all that was told, and the state, as of then.
-- name: concerns
select o.*, p.parked_untold, p.told_trouble, p.told_at, p.told_delivered, p.told_parked_at, p.told_expiring_at,
  coalesce(a.code, '') as failed_code, coalesce(k.code, '') as parked_code,
  coalesce(k.reason, '') as parked_reason
from subscription_overviews o
  join subscriptions s on s.id = o.id
  join subscription_progress p on p.subscription_id = o.id
  left join lateral (
    select code from attempts where subscription_id = o.id and code <> '' order by at desc, id desc limit 1
  ) a on true
  left join lateral (
    select code, reason from parked where subscription_id = o.id order by parked_at desc, id desc limit 1
  ) k on true
where o.id = any($1) and s.has_channel
order by o.id;

-- name: keep_told
update subscription_progress p set
  told_trouble = t.trouble, told_at = t.at, told_delivered = t.delivered, parked_untold = t.parked_untold,
  told_parked_at = t.parked_at, told_expiring_at = t.expiring_at
from unnest($1::text[], $2::text[], $3::timestamptz[], $4::bigint[], $5::bigint[], $6::timestamptz[], $7::timestamptz[])
  as t (id, trouble, at, delivered, parked_untold, parked_at, expiring_at)
where p.subscription_id = t.id;

-- name: add
insert into notices (id, subscription_id, property_id, kind, at, body, next_at) values ($1, $2, $3, $4, $5, $6, $5);

-- Those never tried come first, and none of a property that has enough under way, so that one dead channel holds up no
-- other. A notice that is taken is out of sight for a while; if nothing comes of it, it is taken again.
-- name: take_due
with turn as (
  select id, row_number() over (partition by property_id order by attempts, next_at, id) as place
  from notices
  where delivered_at is null and given_up_at is null and next_at <= $1 and property_id <> all($3::text[])
), due as (
  select n.id from notices n join turn t on t.id = n.id
  where t.place <= $4 and n.delivered_at is null and n.given_up_at is null and n.next_at <= $1
  order by n.attempts, n.next_at, n.id limit $2
  for update of n skip locked
)
update notices n set attempts = n.attempts + 1, next_at = $1 + make_interval(secs => $5)
from due where n.id = due.id
returning n.*;

-- Whichever attempt was taken, the notice is delivered.
-- name: settle_sent
update notices set delivered_at = $2, last_error = '' where id = $1 and delivered_at is null;

-- A failure says which attempt it is the end of: one that was overtaken changes nothing.
-- name: settle_failed
update notices set next_at = $3, last_error = $4
where id = $1 and attempts = $2 and delivered_at is null and given_up_at is null;

-- name: give_up
update notices set given_up_at = $3, last_error = $4
where id = $1 and attempts = $2 and delivered_at is null and given_up_at is null;

-- name: forget
delete from notices where id = $1;

-- name: forget_settled
delete from notices where coalesce(delivered_at, given_up_at) < $1;

-- name: list
select * from notices where property_id = $1 and ($2::text is null or subscription_id = $2)
order by at desc, id desc limit $3;
