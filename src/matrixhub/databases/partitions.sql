-- Partitions and old rows of a database that the hub hosts. Source: docs/decisions/0029-schema.md

-- name: partitions
select c.relname as name
from pg_inherits i join pg_class c on c.oid = i.inhrelid
where i.inhparent = 'matrix.sensor_data'::regclass
order by c.relname;

-- name: weeks_in_default
select distinct date_bin($1::interval, time, $2) as week from matrix.sensor_data_default order by week desc limit $3;

-- name: delete_late
delete from matrix.sensor_data_default
where ctid = any (array (select ctid from matrix.sensor_data_default where time < $1 limit $2));

-- name: delete_events
delete from matrix.events where ctid = any (array (select ctid from matrix.events where time < $1 limit $2));
