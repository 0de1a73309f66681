-- Attempts to deliver, by time.

-- name: list
select a.* from attempts a
where a.subscription_id in (select id from subscriptions where property_id = $1)
  and ($2::text is null or a.subscription_id = $2)
  and case $3::text when 'taken' then a.code = '' when 'failed' then a.code <> '' else true end
  and a.at >= coalesce($4, '-infinity'::timestamptz)
  and a.at < coalesce($5, 'infinity'::timestamptz)
  and ($6::text = '' or a.request_id = $6)
  and (a.at, a.id)
    < (coalesce($7, 'infinity'::timestamptz), coalesce($8, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid))
order by a.at desc, a.id desc
limit $9;

-- The time in the id says in which partition to look.
-- name: show
select a.* from attempts a join subscriptions s on s.id = a.subscription_id
where s.property_id = $1 and a.id = $2 and a.at between $3 and $4;

-- name: record
insert into attempts (subscription_id, at, id, kind, request_id, attempt, items, size_bytes, start_seq, start_item,
  end_seq, end_item, http_status, seconds, code, error, answer)
select s.id, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18
from subscriptions s where s.property_id = $1 and s.id = $2
returning id;
