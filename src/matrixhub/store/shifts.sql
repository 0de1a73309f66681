-- Shifts. Every read and write names the property.

-- name: create
insert into shifts (id, property_id, building_id, seat_id, starts_at, ends_at, started_at, ended_at, time_zone, status,
  delayed, on_break, zones, breaks, cost, description, clock_in, clock_out, created_by, created_at, updated_by,
  updated_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22);

-- name: save
update shifts set starts_at = $3, ends_at = $4, started_at = $5, ended_at = $6, time_zone = $7, status = $8,
  delayed = $9, on_break = $10, zones = $11, breaks = $12, cost = $13, description = $14, clock_in = $15,
  clock_out = $16, updated_by = $17, updated_at = $18, version = version + 1
where property_id = $1 and id = $2 returning version;

-- name: delete
delete from shifts where property_id = $1 and id = any($2::text[]);

-- name: read
select * from shifts where property_id = $1 and id = $2;

-- name: lock
select * from shifts where property_id = $1 and id = $2 for update;

-- name: lock_many
select * from shifts where property_id = $1 and id = any($2::text[]) order by id for update;

-- name: lock_drafts
select * from shifts
where property_id = $1 and building_id = $2 and status = 'UNPUBLISHED' and starts_at >= $3 and starts_at < $4
order by id limit $5 for update;

-- name: overlapping
select id from shifts s join unnest($3::timestamptz[], $4::timestamptz[]) as wanted (starts_at, ends_at)
  on s.starts_at < wanted.ends_at and s.ends_at > wanted.starts_at
where s.property_id = $1 and s.seat_id = $2 and s.status = any($5::text[]) and s.id <> $6 order by s.starts_at limit 1;

-- name: started_of_seat
select id from shifts where property_id = $1 and seat_id = $2 and status = 'STARTED' and id <> $3 limit 1;

-- name: in_range
select * from shifts
where property_id = $1 and ($2::text is null or building_id = $2) and ($3::text is null or seat_id = $3)
  and ($4::text is null or (status = $4 or $4 = 'DELAYED' and status = 'PUBLISHED' and delayed))
  and starts_at >= $5 and starts_at < $6
order by starts_at, id limit $7;

-- name: current
select * from shifts
where property_id = $1 and seat_id = $2
  and (status = 'STARTED' or status = 'PUBLISHED' and starts_at <= $3 and ends_at > $3)
order by status = 'STARTED' desc, starts_at, id limit 1;

-- name: next
select * from shifts where property_id = $1 and seat_id = $2 and status = 'PUBLISHED' and starts_at >= $3
order by starts_at, id limit $4;

-- name: counts
select status, delayed, count(*) as shifts from shifts
where property_id = $1 and ($2::text is null or building_id = $2) and ($3::text is null or seat_id = $3)
  and starts_at >= $4 and starts_at < $5
group by status, delayed;

-- name: on_duty
select * from shifts
where property_id = $1 and building_id = $2 and status = 'STARTED' and not on_break and started_at <= $4
  and (zones = '{}' or zones ? $3)
order by id;

-- name: free_seats
select id from seats e
where property_id = $1 and active and id <> $2 and not exists (
  select from shifts s where s.seat_id = e.id and s.status = any($5::text[]) and s.starts_at < $4 and s.ends_at > $3
) order by id;

-- name: zone_names
select z.id, z.name from zones z join buildings b on b.id = z.building_id
where b.property_id = $1 and b.id = $2 and z.id = any($3::text[]);

-- name: building_address
select case when b.is_property_address then p.address else b.address end
from buildings b join properties p on p.id = b.property_id where b.property_id = $1 and b.id = $2;

-- name: organisation
select organisation_id from properties where id = $1;

-- name: tasks_of_shifts
select shift_id, id from work_orders where property_id = $1 and shift_id = any($2::text[]) and type = 'TASK'
order by starts_at, id;

-- name: page
select * from shifts
where property_id = $1 and ($2::text is null or building_id = $2) and ($3::text is null or seat_id = $3)
  and ($4::text is null or (status = $4 or $4 = 'DELAYED' and status = 'PUBLISHED' and delayed))
  and starts_at >= coalesce($5, '-infinity'::timestamptz) and starts_at < coalesce($6, 'infinity'::timestamptz)
  and (starts_at, id) > (coalesce($7, '-infinity'::timestamptz), coalesce($8, ''))
order by starts_at, id limit $9;

-- What a seat that clocks in may begin with.
-- name: to_start
select * from shifts
where property_id = $1 and seat_id = $2 and status in ('PUBLISHED', 'ABSENT') and starts_at <= $4 and ends_at > $3
order by starts_at, id limit 1;
