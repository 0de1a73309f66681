-- What is asked of a customer's server to know whether the hub can write. Nothing is changed.

-- name: server
select
  current_setting('server_version_num')::integer as version_num,
  split_part(current_setting('server_version'), ' ', 1) as version,
  pg_is_in_recovery() as in_recovery,
  current_setting('transaction_read_only')::boolean as read_only,
  extract(epoch from clock_timestamp())::float8 as now_s,
  pg_encoding_to_char(d.encoding) as encoding,
  r.rolsuper as superuser,
  has_database_privilege(d.oid, 'create') as may_create,
  n.oid is not null as has_schema,
  coalesce(has_schema_privilege(n.oid, 'usage'), false) as may_use,
  coalesce(has_schema_privilege(n.oid, 'create'), false) as may_create_in,
  coalesce((select extversion from pg_extension where extname = 'timescaledb'), '') as timescale,
  exists (select from pg_class c where c.relnamespace = n.oid and c.relname = 'schema_version') as has_version
from pg_database d
join pg_roles r on r.rolname = current_user
left join pg_namespace n on n.nspname = 'matrix'
where d.datname = current_database();

-- name: relations
select
  c.relname as name,
  c.relkind::text as kind,
  c.relpersistence = 'u' as unlogged,
  pg_has_role(c.relowner, 'usage') as owned
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
where n.nspname = 'matrix' and c.relkind in ('r', 'p', 'v', 'm', 'f');

-- name: columns
-- A domain is what it is made of.
select
  c.relname as relation,
  a.attname as name,
  case when t.typtype = 'd' then format_type(t.typbasetype, t.typtypmod) else format_type(a.atttypid, a.atttypmod) end
    as type,
  a.attnotnull or t.typnotnull as not_null,
  a.atthasdef or a.attidentity <> '' or t.typdefault is not null as has_default,
  a.attgenerated <> '' or a.attidentity = 'a' as generated,
  has_column_privilege(c.oid, a.attnum, 'select') as may_select,
  has_column_privilege(c.oid, a.attnum, 'insert') as may_insert
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
join pg_type t on t.oid = a.atttypid
where n.nspname = 'matrix' and c.relkind in ('r', 'p')
order by c.relname, a.attnum;

-- name: indexes
-- What is keyed by an expression has no column, and is null.
select
  c.relname as relation,
  i.relname as name,
  x.indisunique as is_unique,
  x.indisvalid and x.indisready as valid,
  x.indimmediate as immediate,
  x.indpred is not null as partial,
  array(
    select a.attname::text
    from unnest(x.indkey::int2[]) with ordinality k (number, place)
    left join pg_attribute a on a.attrelid = c.oid and a.attnum = k.number and k.number > 0
    where k.place <= x.indnkeyatts
    order by k.place
  ) as columns
from pg_index x
join pg_class c on c.oid = x.indrelid
join pg_class i on i.oid = x.indexrelid
join pg_namespace n on n.oid = c.relnamespace
where n.nspname = 'matrix' and c.relkind in ('r', 'p');

-- name: spoken
-- For itself, as not every user may ask.
select concat_ws(', ', version, cipher) from pg_stat_ssl where pid = pg_backend_pid() and ssl;

-- name: version
select coalesce(max(version), 0) from matrix.schema_version;
