-- Timesheets.

-- name: read
select * from timesheets where property_id = $1 and shift_id = $2;

-- name: save
insert into timesheets as t (shift_id, property_id, seat_id, kind, status, worked_from, worked_until, comment,
  requested_by, requested_at, decided_by, decided_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
on conflict (shift_id) do update set kind = excluded.kind, status = excluded.status,
  worked_from = excluded.worked_from, worked_until = excluded.worked_until, comment = excluded.comment,
  requested_by = excluded.requested_by, requested_at = excluded.requested_at, decided_by = excluded.decided_by,
  decided_at = excluded.decided_at, version = t.version + 1
where t.property_id = excluded.property_id
returning *;

-- name: requested
select t.* from timesheets t join shifts s on s.id = t.shift_id
where t.property_id = $1 and ($2::text is null or t.seat_id = $2) and t.requested_at >= $3 and t.requested_at < $4
  and ($6::text is null or s.building_id = $6)
order by t.requested_at, t.shift_id limit $5;

-- name: of_shifts
select t.* from timesheets t join shifts s on s.id = t.shift_id
where t.property_id = $1 and ($2::text is null or t.seat_id = $2) and s.starts_at >= $3 and s.starts_at < $4
  and ($6::text is null or s.building_id = $6)
order by s.starts_at, s.id limit $5;

-- name: page
select * from timesheets
where property_id = $1 and ($2::text is null or seat_id = $2) and ($3::text is null or status = $3)
  and (requested_at, shift_id) > (coalesce($4, '-infinity'::timestamptz), coalesce($5, ''))
order by requested_at, shift_id limit $6;
