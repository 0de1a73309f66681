-- What pushes of a property may reach besides the public internet.

-- name: allow
insert into egress_allowances (property_id, target) values ($1, $2) on conflict do nothing returning target;

-- What waits because it was refused is tried again at once.
-- name: try_again
update subscription_progress p set retry_at = null
from subscriptions s where s.id = p.subscription_id and s.property_id = $1 and p.retry_at is not null;

-- name: list
select property_id, target, created_at from egress_allowances where property_id = $1 order by target;

-- name: revoke
delete from egress_allowances where property_id = $1 and target = $2 returning target;
