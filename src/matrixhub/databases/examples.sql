-- What a customer may ask of his database, to begin with. `:'name'` stands for a text, as in psql: `building` and
-- `property` are ids, `day_start` and `next_day` the midnights around the day in the building's time zone `region`.
-- The first two are published; of the others the core is. Source: docs/contract/dedicated-db.md §3, §3.1

-- name: people_by_zone
-- title: People in each zone, one hour
-- source: sensors
select insid as Zone, sum(cast(v->>'count' as integer)) TotalPeople
from matrix.sensor_data
where pid = :'building' and month = :'month' and dom = :'dom'
  and devtype = 'SMARTCLEAN#PPLCTR'
  and time >= :'hour_start' and time <= :'hour_end'
group by insid;

-- name: rating_by_zone
-- title: Average rating of each zone, one day
-- source: sensors
select insid as Zone, avg(cast(v->>'rating' as integer)) AverageRating
from matrix.sensor_data
where pid = :'building' and month = :'month' and dom = :'dom'
  and devtype = 'SMARTCLEAN#FD'
  and time >= :'day_start' and time <= :'day_end'
group by insid;

-- name: latest_by_slot
-- title: Latest reading of each slot
-- source: sensors
select distinct on (devid) devid, time, v
from matrix.sensor_data
where pid = :'building'
  and time >= :'day_start'
order by devid, time desc;

-- name: people_by_half_hour
-- title: People by half hour, all zones
-- source: sensors
select date_bin('30 minutes', time, '2000-01-01Z') as half_hour, sum((v->>'count')::numeric) as people
from matrix.sensor_data
where pid = :'building'
  and devtype = 'SMARTCLEAN#PPLCTR'
  and time >= :'day_start' and time < :'next_day'
group by half_hour
order by half_hour;

-- name: people_by_local_hour
-- title: People by hour of the day, as the clocks of the building show it
-- source: sensors
select date_trunc('hour', time at time zone region) as local_hour, sum((v->>'count')::numeric) as people
from matrix.sensor_data
where pid = :'building'
  and devtype = 'SMARTCLEAN#PPLCTR'
  and time >= :'day_start' and time < :'next_day'
group by local_hour
order by local_hour;

-- name: ammonia_by_zone
-- title: Ammonia in ppb, whatever the device measures in
-- source: sensors
select insid as zone,
  avg(case when devtype = 'SMARTCLEAN#ODRDTR' then (v->>'amm')::numeric*1000 else (v->>'amm')::numeric end)
    as ammonia_ppb
from matrix.sensor_data
where pid = :'building'
  and devtype in ('SMARTCLEAN#ODRDTR', 'SMARTCLEAN#ODRDTR_BATT_V1')
  and time >= :'day_start' and time < :'next_day'
group by insid;

-- name: worst_stars_by_zone
-- title: Worst stars of each zone
-- source: sensors
select insid as zone, min((v->>'s')::int) as stars
from matrix.sensor_data
where pid = :'building'
  and devtype = 'SMARTCLEAN#FD'
  and time >= :'day_start' and time < :'next_day'
group by insid;

-- name: reasons_of_bad_feedback
-- title: Reasons of bad feedback, most frequent first
-- source: sensors
select r.value->>'Name' as reason, count(*) as times
from matrix.sensor_data
cross join lateral jsonb_each(v->'reasons') r
where pid = :'building'
  and devtype = 'SMARTCLEAN#FD' and v->>'n' = '1'
  and time >= :'day_start' and time < :'next_day'
group by reason
order by times desc, reason;

-- name: containers_nearly_empty
-- title: Containers that are nearly empty now
-- source: sensors
select display, insid as zone, devtype, (v->>'p')::numeric as remaining_pct, time
from (
  select distinct on (devid) *
  from matrix.sensor_data
  where pid = :'building'
    and devtype in ('SMARTCLEAN#TR', 'SMARTCLEAN#PT', 'SMARTCLEAN#SS')
    and time >= :'day_start'
  order by devid, time desc
) latest
where (v->>'p')::numeric < 5
order by remaining_pct, display;

-- name: occupied_now
-- title: Cubicles and desks that are occupied now
-- source: sensors
select display, insid as zone, devtype, time
from (
  select distinct on (devid) *
  from matrix.sensor_data
  where pid = :'building'
    and devtype in ('SMARTCLEAN#OCCMINEW', 'SMARTCLEAN#OCCSCM', 'SMARTCLEAN#OCCDESK')
    and time >= :'day_start'
  order by devid, time desc
) latest
where v->>'occ' = case devtype when 'SMARTCLEAN#OCCDESK' then '1' else '0' end
order by display;

-- name: last_cleaning_by_zone
-- title: When each zone was last cleaned
-- source: events
select meta->>'Zone' as zone, to_timestamp(max((meta->>'AEnd')::bigint)) as cleaned_at
from matrix.events
where principal = :'principal'
  and event = 'TASK_COMPLETED'
group by 1;

-- name: open_incidents_by_hour
-- title: Incidents that nobody was assigned to, by hour
-- source: events
select date_trunc('hour', time) as hour, count(*) as incidents
from matrix.events
where principal = :'principal'
  and event = 'INCIDENT_CREATED_OPEN'
  and time >= :'day_start' and time < :'next_day'
group by hour
order by hour;
