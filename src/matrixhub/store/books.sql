-- The books: what is accepted, by the auditor's count, and what expires, by retention.

-- Changes whenever anything in the books does, and costs next to nothing.
-- name: fingerprint
select count(*)::bigint as accounts, coalesce(sum(step), 0)::bigint as steps,
  coalesce(sum(position_seq + position_item + ahead), 0)::bigint as positions,
  coalesce(sum(delivered), 0)::bigint as delivered, coalesce(sum(parked), 0)::bigint as parked,
  coalesce(sum(expired), 0)::bigint as expired, coalesce(sum(skipped), 0)::bigint as skipped,
  coalesce(sum(replayed), 0)::bigint as replayed, coalesce(sum(accepted), 0)::bigint as accepted,
  coalesce(sum(accepted_seq), 0)::bigint as accepted_seqs
from subscription_progress;

-- name: accounts
select s.id, s.property_id, s.filter, p.accepted, p.accepted_seq, p.accepted_item, p.position_seq, p.position_item, p.sending_seq,
  p.sending_item, p.step, p.ahead, p.delivered, p.parked, p.expired, p.skipped, p.replayed, p.express_from,
  p.express_to, p.express_sending
from subscriptions s join subscription_progress p on p.subscription_id = s.id
where s.source = $1 and ($2::text is null or s.id = $2)
order by s.id;

-- Each count names where it began and for which filter: a row that another has counted up meanwhile, or that wants
-- something else now, stays as it is. Rows that are just being written are left for the next time, so that this never
-- waits for a carrier while it holds the row of another.
-- name: add_accepted
with counts as (
  select * from unnest($1::text[], $2::jsonb[], $3::bigint[], $4::integer[], $5::bigint[], $6::bigint[])
    as c (id, filter, from_seq, from_item, to_seq, items)
), free as (
  select p.subscription_id, c.to_seq, c.items
  from subscription_progress p
    join counts c on c.id = p.subscription_id and c.from_seq = p.accepted_seq
      and c.from_item = p.accepted_item
    join subscriptions s on s.id = p.subscription_id and s.filter = c.filter
  for update of p skip locked
)
update subscription_progress p set accepted = p.accepted + free.items, accepted_seq = free.to_seq, accepted_item = 0
from free where p.subscription_id = free.subscription_id
returning p.subscription_id;

-- Who goes back in the stream holds this row for a moment (see `advance`), so that after this nobody is on the way.
-- name: raise_floor
update stream_floors set seq = greatest(seq, $2) where source = $1;

-- name: seize
update subscription_progress set owner = null, fence = fence + 1 where subscription_id = $1;

-- What it was counted for must still be so. The owner finds its fence broken and reads again.
-- name: expire
update subscription_progress set
  expired = expired + $6, position_seq = $7, position_item = $8, sending_seq = null, sending_item = null,
  lanes_done = 0, ahead = $9, express_from = $10, express_to = $11, express_sending = $12, step = step + 1, fence = fence + 1, owner = null
where subscription_id = $1 and step = $2 and position_seq = $3 and position_item = $4 and ahead = $5
returning subscription_id;

-- name: oldest_parked
select distinct subscription_id from parked where parked_at < $1 order by subscription_id;

-- The row of the subscription is locked first, as all who park or send again do.
-- name: lock_progress
select subscription_id from subscription_progress where subscription_id = $1 for update;

-- name: expire_parked
with old as (
  select parked_at, id from parked where subscription_id = $1 and parked_at < $2 order by parked_at, id limit $3
), gone as (
  delete from parked k using old where k.parked_at = old.parked_at and k.id = old.id
    and k.subscription_id = $1 and k.parked_at < $2
  returning k.id
)
update subscription_progress set
  parked = parked - (select count(*) from gone), expired = expired + (select count(*) from gone)
where subscription_id = $1
returning (select count(*) from gone) as items;

-- Rows of subscriptions that are no more.
-- name: drop_orphans
delete from parked k where k.parked_at < $1
  and not exists (select from subscription_progress p where p.subscription_id = k.subscription_id);
