-- Work orders: incidents and tasks.

-- All that adding work orders has to know of a building, and numbers for their ids: one question instead of five, as
-- incidents are to be reported quickly.
-- name: surroundings
select b.time_zone, p.organisation_id, s.incident, s.schedule,
  array(select nextval('work_order_numbers') from generate_series(1, $4)) as numbers,
  (select coalesce(jsonb_agg(jsonb_build_object('id', z.id, 'name', z.name, 'category', z.category)), '[]')
    from zones z where z.building_id = b.id and z.id = any($3::text[])) as zones,
  (select coalesce(jsonb_agg(jsonb_build_object('id', e.id, 'version', e.version, 'document', v.document)
      order by e.id), '[]')
    from escalation_policies e join escalation_policy_versions v
      on v.building_id = e.building_id and v.policy_id = e.id and v.version = e.version
    where e.building_id = b.id) as policies
from buildings b join properties p on p.id = b.property_id left join workforce_settings s on s.building_id = b.id
where b.property_id = $1 and b.id = $2;

-- name: zones
select z.id, z.name, z.category from zones z join buildings b on b.id = z.building_id
where b.property_id = $1 and b.id = $2 and z.id = any($3::text[]);

-- Rows, and their lines of the timeline.
-- name: insert
with noted as (
  insert into work_order_history (work_order_id, property_id, at, actor, act, status, detail)
  select h.work_order_id, h.property_id, h.at, h.actor, h.act, h.status, h.detail
  from json_to_recordset($2::text::json)
    as h (work_order_id text, property_id text, at timestamptz, actor text, act text, status text, detail jsonb)
)
insert into work_orders select * from json_populate_recordset(null::work_orders, $1::text::json);

-- name: read
select w.*, p.organisation_id, b.time_zone
from work_orders w join properties p on p.id = w.property_id join buildings b on b.id = w.building_id
where w.property_id = $1 and w.id = $2;

-- name: read_all
select w.*, p.organisation_id, b.time_zone
from work_orders w join properties p on p.id = w.property_id join buildings b on b.id = w.building_id
where w.property_id = $1 and w.id = any($2::text[]);

-- name: lock
select w.*, p.organisation_id, b.time_zone
from work_orders w join properties p on p.id = w.property_id join buildings b on b.id = w.building_id
where w.property_id = $1 and w.id = any($2::text[])
order by w.id
for no key update of w;

-- name: lock_of_shift
select w.*, p.organisation_id, b.time_zone
from work_orders w join properties p on p.id = w.property_id join buildings b on b.id = w.building_id
where w.property_id = $1 and w.shift_id = any($2::text[]) and w.type = 'TASK'
order by w.id
for no key update of w;

-- Everything that an act may change, and its lines of the timeline.
-- name: save
with noted as (
  insert into work_order_history (work_order_id, property_id, at, actor, act, status, detail)
  select h.work_order_id, h.property_id, h.at, h.actor, h.act, h.status, h.detail
  from json_to_recordset($2::text::json)
    as h (work_order_id text, property_id text, at timestamptz, actor text, act text, status text, detail jsonb)
)
update work_orders w set
  status = r.status, name = r.name, description = r.description, priority = r.priority, zone_id = r.zone_id,
  zone_name = r.zone_name, zone_category = r.zone_category, starts_at = r.starts_at, ends_at = r.ends_at,
  timeout_s = r.timeout_s, started_at = r.started_at, closed_at = r.closed_at, delayed = r.delayed,
  seat_id = r.seat_id, shift_id = r.shift_id, assigned_at = r.assigned_at, announced = r.announced,
  reassigned = r.reassigned, opened_at = r.opened_at, policy_id = r.policy_id, policy_version = r.policy_version,
  escalation_type = r.escalation_type, escalation_level = r.escalation_level, escalated = r.escalated,
  tasks = r.tasks, attachments = r.attachments, updated_by = r.updated_by, updated_at = r.updated_at,
  version = r.version
from json_populate_recordset(null::work_orders, $1::text::json) r
where w.id = r.id and w.property_id = r.property_id;

-- name: delete
delete from work_orders where property_id = $1 and id = any($2::text[]);

-- name: record_history
insert into work_order_history (work_order_id, property_id, at, actor, act, status, detail)
select h.work_order_id, h.property_id, h.at, h.actor, h.act, h.status, h.detail
from json_to_recordset($1::text::json)
  as h (work_order_id text, property_id text, at timestamptz, actor text, act text, status text, detail jsonb);

-- name: histories
select work_order_id, at, actor, act, status, detail from work_order_history
where property_id = $1 and work_order_id = any($2::text[]) and ($3::text = '' or act = $3)
order by number;

-- What is asked for, by start and id, onwards or backwards.
-- name: list
select w.*, p.organisation_id, b.time_zone
from work_orders w join properties p on p.id = w.property_id join buildings b on b.id = w.building_id
where w.property_id = $1
  and ($2::text is null or w.building_id = $2)
  and ($3::text is null or w.zone_id = $3)
  and ($4::text is null or w.seat_id = $4)
  and ($5::text is null or w.shift_id = $5)
  and ($6::text is null or w.type = $6)
  and ($7::text[] is null or w.status = any($7))
  and w.starts_at >= coalesce($8, '-infinity'::timestamptz)
  and w.starts_at < coalesce($9, 'infinity'::timestamptz)
  and (w.starts_at, w.id) > (coalesce($10, '-infinity'::timestamptz), coalesce($11, ''))
order by w.starts_at, w.id
limit $12;

-- Whether the property has what is named.
-- name: known
select
  $2::text is null or exists (select from buildings b where b.property_id = $1 and b.id = $2) as building,
  $3::text is null or exists (select from zones z join buildings b on b.id = z.building_id
    where b.property_id = $1 and z.id = $3 and ($2::text is null or b.id = $2)) as zone,
  $4::text is null or exists (select from seats s where s.property_id = $1 and s.id = $4) as seat,
  $5::text is null or exists (select from seats s where s.property_id = $1 and s.id = $5)
    or exists (select from shifts s where s.property_id = $1 and s.id = $5 and ($2::text is null or s.building_id = $2))
    as shift;

-- name: latest
select w.*, p.organisation_id, b.time_zone
from work_orders w join properties p on p.id = w.property_id join buildings b on b.id = w.building_id
where w.property_id = $1
  and ($2::text is null or w.building_id = $2)
  and ($3::text is null or w.zone_id = $3)
  and ($4::text is null or w.seat_id = $4)
  and w.type = 'TASK'
  and w.starts_at >= $5 and w.starts_at < $6
order by w.starts_at desc, w.id desc
limit $7;

-- name: counts
select type, status, count(*) as found from work_orders w
where property_id = $1
  and ($2::text is null or building_id = $2)
  and ($3::text is null or seat_id = $3)
  and starts_at >= coalesce($4, '-infinity'::timestamptz)
  and starts_at < coalesce($5, 'infinity'::timestamptz)
group by type, status;

-- One assignment at a time in a building, so that shares stay fair.
-- name: lock_assignment
select pg_advisory_xact_lock(hashtextextended('matrixhub assignment ' || $1, 0));

-- Whose shift is running and covers one of the zones, and what the seat has on hand. A shift without zones has all.
-- Counting ends at a thousand: from there on seats are equal and take turns.
-- name: on_duty
select s.seat_id, s.id as shift_id, array(select jsonb_object_keys(s.zones)) as zones,
  (select count(*) from (select from work_orders w where w.seat_id = s.seat_id and w.type = 'INCIDENT'
    and w.status in ('PUBLISHED', 'STARTED', 'PAUSED') limit 1000) w) as on_hand,
  (select max(w.assigned_at) from work_orders w where w.seat_id = s.seat_id) as last_assigned_at
from shifts s join seats e on e.id = s.seat_id
where s.property_id = $1 and s.building_id = $2 and s.status = 'STARTED' and not s.on_break and e.active
  and (s.started_at is null or s.started_at <= $4)
  and (s.zones = '{}'::jsonb or s.zones ?| $3::text[])
order by s.seat_id, s.id;

-- name: seats_on_hand
select e.id as seat_id,
  (select count(*) from (select from work_orders w where w.seat_id = e.id and w.type = 'INCIDENT'
    and w.status in ('PUBLISHED', 'STARTED', 'PAUSED') limit 1000) w) as on_hand,
  (select max(w.assigned_at) from work_orders w where w.seat_id = e.id) as last_assigned_at
from seats e where e.property_id = $1 and e.active and e.id = any($2::text[])
order by e.id;

-- name: seats
select id, active from seats where property_id = $1 and id = any($2::text[]);

-- Held until the commit, so that a shift does not end while something is put into it.
-- name: shifts
select id, seat_id, building_id, status, time_zone, ends_at from shifts
where property_id = $1 and id = any($2::text[])
order by id
for share;

-- name: add_comment
insert into work_order_comments (id, work_order_id, user_name, comment, created_by, created_at, updated_at)
values ($1, $2, $3, $4, $5, $6, $6);

-- name: count_comments
select count(*) from work_order_comments where work_order_id = $1;

-- name: update_comment
update work_order_comments set comment = $3, user_name = $4, updated_at = $5 where work_order_id = $1 and id = $2
returning *;

-- name: delete_comment
delete from work_order_comments where work_order_id = $1 and id = $2 returning *;

-- name: comments
select c.* from work_order_comments c join work_orders w on w.id = c.work_order_id
where w.property_id = $1 and w.id = $2 order by c.created_at, c.id;
