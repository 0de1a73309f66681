-- Which solutions a property has asked for.

-- name: list
select * from property_solutions where property_id = $1;

-- Acts on the solutions of a property follow each other, also on one that has no row yet.
-- name: lock
select true from properties where id = $1 for no key update;

-- name: save
insert into property_solutions (property_id, solution_id, status, requested_by, requested_at, decided_by, decided_at)
values ($1, $2, $3, $4, $5, $6, $7)
on conflict (property_id, solution_id) do update set status = excluded.status, requested_by = excluded.requested_by,
  requested_at = excluded.requested_at, decided_by = excluded.decided_by, decided_at = excluded.decided_at;
