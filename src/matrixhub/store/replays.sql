-- Wishes to deliver again from a place on, and what came of them.

-- The newest replay that has begun is under way until the subscription is back where it was.
-- name: list
select r.*,
  case
    when r.begun_at is null then 'waiting'
    when (p.position_seq, p.position_item) < (r.to_seq, r.to_item)
      and not exists (
        select from replays n where n.subscription_id = r.subscription_id and n.begun_at > r.begun_at
      ) then 'running'
    else 'done'
  end as state
from replays r
  join subscriptions s on s.id = r.subscription_id
  join subscription_progress p on p.subscription_id = s.id
where s.property_id = $1
  and ($2::text is null or s.id = $2)
  and ($3::text is null or r.id = $3)
  and (r.requested_at, r.id) < (coalesce($4, 'infinity'::timestamptz), coalesce($5, ''))
order by r.requested_at desc, r.id desc
limit $6;

-- name: lock_progress
select p.position_seq, p.position_item
from subscription_progress p join subscriptions s on s.id = p.subscription_id
where s.property_id = $1 and s.id = $2
for update of p;

-- name: waiting
select id from replays where subscription_id = $1 and begun_at is null limit 1;

-- name: ask
insert into replays (id, subscription_id, from_seq, from_item) values ($1, $2, $3, $4);

-- name: withdraw
delete from replays where subscription_id = $1 and id = $2 and begun_at is null returning id;
