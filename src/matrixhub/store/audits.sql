-- Audits.

-- name: insert
insert into audits (id, property_id, building_id, zone_id, zone_name, name, by, status, started_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: save
update audits set status = $3, ended_at = $4, score = $5, comment = $6 where property_id = $1 and id = $2;

-- name: show
select id, property_id, building_id, zone_id, zone_name, name, by, status, started_at, ended_at, score, comment
from audits where property_id = $1 and id = $2;

-- name: lock
select true from audits where property_id = $1 and id = $2 for no key update;

-- name: page
select id, property_id, building_id, zone_id, zone_name, name, by, status, started_at, ended_at, score, comment
from audits
where property_id = $1 and ($2::text is null or building_id = $2) and ($3::text is null or zone_id = $3)
  and ($4::text is null or (started_at, id) < (
    select a.started_at, a.id from audits a where a.property_id = $1 and a.id = $4))
order by started_at desc, id desc limit $5;
