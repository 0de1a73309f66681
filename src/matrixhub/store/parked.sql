-- Readings that were set aside.

-- name: list
select p.* from parked p
where p.subscription_id in (select id from subscriptions where property_id = $1)
  and ($2::text is null or p.subscription_id = $2)
  and ($3::uuid[] is null or p.id = any($3))
  and p.parked_at >= coalesce($4, '-infinity'::timestamptz)
  and p.parked_at < coalesce($5, 'infinity'::timestamptz)
  and ($6::text = '' or p.code = $6)
  and (p.parked_at, p.id)
    > (coalesce($7, '-infinity'::timestamptz), coalesce($8, '00000000-0000-0000-0000-000000000000'::uuid))
order by p.parked_at, p.id
limit $9;

-- name: count
select count(*) from parked p
where p.subscription_id in (select id from subscriptions where property_id = $1)
  and ($2::text is null or p.subscription_id = $2)
  and ($3::uuid[] is null or p.id = any($3))
  and p.parked_at >= coalesce($4, '-infinity'::timestamptz)
  and p.parked_at < coalesce($5, 'infinity'::timestamptz)
  and ($6::text = '' or p.code = $6);

-- The time in the id says in which partition to look.
-- name: show
select p.* from parked p join subscriptions s on s.id = p.subscription_id
where s.property_id = $1 and p.id = $2 and p.parked_at between $3 and $4;

-- name: of_request
select p.* from parked p
where p.subscription_id in (select id from subscriptions where property_id = $1)
  and p.subscription_id = $2 and p.request_id = $3
order by p.seq, p.item
limit $4;

-- A step of the carrier holds this row before it touches parked readings, so what does both goes the same way.
-- name: lock_progress
select p.subscription_id from subscription_progress p join subscriptions s on s.id = p.subscription_id
where s.property_id = $1 and s.id = $2
for update of p;

-- name: ask_redrive
update parked p set redrive_at = clock_timestamp()
from unnest($2::timestamptz[], $3::uuid[]) as t (parked_at, id)
where p.subscription_id = $1 and p.parked_at = t.parked_at and p.id = t.id and p.redrive_at is null
returning p.id;

-- name: bump_redrive
update subscription_progress set redrive_asked = redrive_asked + 1 where subscription_id = $1;

-- name: discard
delete from parked p using unnest($2::timestamptz[], $3::uuid[]) as t (parked_at, id)
where p.subscription_id = $1 and p.parked_at = t.parked_at and p.id = t.id
returning p.id;

-- name: count_discarded
update subscription_progress set parked = parked - $2, expired = expired + $2 where subscription_id = $1;
