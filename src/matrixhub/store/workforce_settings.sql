-- Settings of incidents and shifts.

-- name: read
select w.incident, w.schedule from buildings b left join workforce_settings w on w.building_id = b.id
where b.property_id = $1 and b.id = $2;

-- name: prepare
insert into workforce_settings (building_id, property_id, incident, schedule)
select b.id, b.property_id, '{}', '{}' from buildings b where b.property_id = $1 and b.id = $2
on conflict (building_id) do nothing;

-- name: lock
select incident, schedule from workforce_settings where property_id = $1 and building_id = $2 for update;

-- name: update
insert into workforce_settings as w (building_id, property_id, incident, schedule)
select b.id, b.property_id, $3, $4 from buildings b where b.property_id = $1 and b.id = $2
on conflict (building_id) do update set
  incident = w.incident || excluded.incident, schedule = w.schedule || excluded.schedule, updated_at = now()
returning w.incident, w.schedule;
