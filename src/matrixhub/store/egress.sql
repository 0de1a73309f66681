-- What pushes of a property may reach besides the public internet.

-- name: allow
insert into egress_allowances (property_id, target) values ($1, $2) on conflict do nothing returning target;

-- name: list
select property_id, target, created_at from egress_allowances where property_id = $1 order by target;

-- name: revoke
delete from egress_allowances where property_id = $1 and target = $2 returning target;
