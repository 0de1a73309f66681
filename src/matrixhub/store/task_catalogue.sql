-- The catalogue tasks are taken from.

-- Whoever adds to a catalogue counts first, one after the other.
-- name: lock
select id from properties where id = $1 for no key update;

-- name: add_custom_task
insert into custom_tasks (id, property_id, name, document) values ($1, $2, $3, $4)
on conflict (property_id, name) do nothing returning id;

-- name: custom_tasks
select id, name, document from custom_tasks where property_id = $1 order by name, id;

-- name: remove_custom_task
delete from custom_tasks where property_id = $1 and id = $2 returning id;

-- name: add_task_group
insert into task_groups (id, property_id, name, tasks, zone_categories) values ($1, $2, $3, $4, $5)
on conflict (property_id, name) do nothing returning id;

-- name: task_groups
select id, name, tasks, zone_categories from task_groups
where property_id = $1 and ($2::text is null or zone_categories = '{}' or $2 = any(zone_categories))
order by name, id;

-- name: remove_task_group
delete from task_groups where property_id = $1 and id = $2 returning id;
