-- name: add
insert into databases
  (id, property_id, name, hosting, host, port, database, user_name, password, tls, ca_pem, may_create, limits, reader)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
returning version, created_at;

-- name: show
select d.*, coalesce((select array_agg(e.target) from egress_allowances e where e.property_id = d.property_id), '{}')
  as egress_allow
from databases d where id = $1 and ($2 = '' or property_id = $2);

-- name: list
select d.*, coalesce((select array_agg(e.target) from egress_allowances e where e.property_id = d.property_id), '{}')
  as egress_allow
from databases d where $1 = '' or property_id = $1 order by created_at, id;

-- name: version
select version from databases where id = $1;

-- name: property_has
select exists (select from databases where property_id = $1 and id = $2);

-- name: save
update databases set name = $2, host = $3, port = $4, database = $5, user_name = $6, password = $7, tls = $8,
  ca_pem = $9, may_create = $10, limits = $11, reader = $12, version = version + 1
where id = $1 and version = $13
returning version;

-- name: remove
delete from databases d
where id = $1 and property_id = $2
  and not exists (select 1 from subscriptions s where s.url = 'database:' || d.id)
returning id;

-- name: subscribed
select id from subscriptions where url = 'database:' || $1 order by id;
