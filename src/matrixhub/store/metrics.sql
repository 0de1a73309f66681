-- How many work orders there were, day by day in the time of their building.

-- The property and its buildings, each with its time zone.
-- name: places
select id, time_zone, true as is_property from properties where id = $1
union all
select id, time_zone, false from buildings where property_id = $1;

-- Days are those of the building; instants only narrow what is looked at, so that an index serves.
-- name: incidents_by_type
select w.building_id, to_char(w.starts_at at time zone b.time_zone, 'YYYYMMDD') as day, w.raised_by as word,
  count(*) as found
from work_orders w join buildings b on b.id = w.building_id
where w.property_id = $1 and w.building_id = any($2::text[]) and w.type = 'INCIDENT'
  and (cardinality(w.source_slots) > 0 or w.event_source = 'Sensors' or w.event_source like '%#sensor')
  and w.starts_at >= $3 and w.starts_at < $4
group by 1, 2, 3;

-- name: incidents_by_status
select w.building_id, to_char(w.starts_at at time zone b.time_zone, 'YYYYMMDD') as day, w.status as word,
  count(*) as found
from work_orders w join buildings b on b.id = w.building_id
where w.property_id = $1 and w.building_id = any($2::text[]) and w.type = 'INCIDENT'
  and w.starts_at >= $3 and w.starts_at < $4
group by 1, 2, 3;

-- name: incidents_by_priority
select w.building_id, to_char(w.starts_at at time zone b.time_zone, 'YYYYMMDD') as day, w.priority as word,
  count(*) as found
from work_orders w join buildings b on b.id = w.building_id
where w.property_id = $1 and w.building_id = any($2::text[]) and w.type = 'INCIDENT'
  and w.starts_at >= $3 and w.starts_at < $4
group by 1, 2, 3;

-- By the day they were done, whenever they were to begin.
-- name: tasks_completed
select w.building_id, to_char(w.closed_at at time zone b.time_zone, 'YYYYMMDD') as day, w.status as word,
  count(*) as found
from work_orders w join buildings b on b.id = w.building_id
where w.property_id = $1 and w.building_id = any($2::text[]) and w.type = 'TASK' and w.status = 'COMPLETED'
  and w.closed_at >= $3 and w.closed_at < $4
group by 1, 2, 3;
