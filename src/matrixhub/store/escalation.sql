-- Escalation policies and who is to be told.

-- name: create
insert into escalation_policies (building_id, id, property_id, version)
select b.id, $3, b.property_id, 1 from buildings b where b.property_id = $1 and b.id = $2
on conflict do nothing
returning id;

-- name: building
select id from buildings where property_id = $1 and id = $2 for no key update;

-- name: count
select count(*) from escalation_policies where property_id = $1 and building_id = $2;

-- name: add_version
insert into escalation_policy_versions (building_id, policy_id, version, document, created_by, created_at)
values ($1, $2, $3, $4, $5, $6);

-- name: lock
update escalation_policies set version = version + 1 where property_id = $1 and building_id = $2 and id = $3
returning version;

-- name: current
select p.building_id, p.id, p.version, v.document
from escalation_policies p
  join escalation_policy_versions v on v.building_id = p.building_id and v.policy_id = p.id and v.version = p.version
where p.property_id = $1 and p.building_id = $2 and ($3::text is null or p.id = $3)
order by p.id;

-- name: version
select p.building_id, p.id, v.version, v.document
from escalation_policies p
  join escalation_policy_versions v on v.building_id = p.building_id and v.policy_id = p.id
where p.property_id = $1 and p.building_id = $2 and p.id = $3 and v.version = $4;

-- name: add_notices
insert into escalation_notices (id, property_id, building_id, work_order_id, type, level, entity, medium, details, at)
select n.id, n.property_id, n.building_id, n.work_order_id, n.type, n.level, n.entity, n.medium, n.details, n.at
from json_populate_recordset(null::escalation_notices, $1::text::json) n;

-- name: notices
select id, building_id, work_order_id, type, level, entity, medium, details, at
from escalation_notices where property_id = $1 and sent_at is null order by at, id limit $2;
