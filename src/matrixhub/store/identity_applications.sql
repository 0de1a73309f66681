-- Identity applications.

-- name: create
insert into identity_applications (id, property_id, name, provider, token_kind, issuer, audience, jwks_url, ca_pem,
  user_claim, role_id, boundary_id, enabled, created_at, updated_at, version)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16);

-- Whoever counts them holds the property until its commit, so that two at once do not both find room for the last one.
-- name: count
select (select count(*) from identity_applications a where a.property_id = p.id) as found
from properties p where p.id = $1 for no key update;

-- name: list
select * from identity_applications where property_id = $1 order by created_at, id;

-- name: show
select * from identity_applications where property_id = $1 and id = $2;

-- name: lock
select * from identity_applications where property_id = $1 and id = $2 for update;

-- name: save
update identity_applications set name = $3, provider = $4, token_kind = $5, issuer = $6, audience = $7, jwks_url = $8,
  ca_pem = $9, user_claim = $10, role_id = $11, boundary_id = $12, enabled = $13, updated_at = $14, version = $15
where property_id = $1 and id = $2;

-- name: remove
delete from identity_applications where property_id = $1 and id = $2 returning id;

-- By the QUID alone: whose it is, is what is to be found out. With it, where requests of the property may go.
-- name: find
select a.*, array(select e.target from egress_allowances e where e.property_id = a.property_id) as egress_allow
from identity_applications a where a.id = $1;
