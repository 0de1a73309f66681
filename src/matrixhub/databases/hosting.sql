-- What makes a database of a customer on a server, and what closes it to all others. {words} are names and numbers
-- that hosting.py has made itself. Source: docs/decisions/0023-hosted-databases.md

-- name: rights
select r.rolname as role, r.rolsuper as super, r.rolcreatedb as createdb, r.rolcreaterole as createrole,
  has_parameter_privilege('temp_file_limit', 'set') as temp_file_limit,
  current_setting('server_version_num')::int / 10000 as version,
  array(
    select d.datname::text from pg_database d
    where d.datallowconn and has_database_privilege('public', d.oid, 'connect')
    order by d.datname
  ) as open_databases
from pg_roles r where r.rolname = current_user

-- name: owned_databases
-- Those that the hub may close itself: all of its own server; of another's its own and those every server has.
select d.datname::text from pg_database d
where has_database_privilege('public', d.oid, 'connect') and d.datallowconn
  and ($1 or d.datname in (current_database(), 'postgres', 'template1'))
  and (pg_has_role(current_user, d.datdba, 'member'))

-- name: close_database
revoke connect, temporary on database "{name}" from public

-- name: lock
select pg_advisory_xact_lock(hashtext('matrixhub hosting'))

-- name: lock_database
select pg_try_advisory_lock(hashtext('matrixhub hosting'), hashtext($1))

-- name: roles_there
select rolname::text from pg_roles where rolname = any($1)

-- name: create_role
create role {role} nologin

-- name: join
-- Who is no superuser must be a member of a role to make things that belong to it, and to end its sessions.
grant {role} to current_user

-- name: customers
-- Whom pg_hba.conf lets in from elsewhere.
do $$ begin create role {customers} nologin; exception when duplicate_object or unique_violation then null; end $$

-- name: join_customers
grant {customers} to {role}

-- name: reader_settings
alter role {role} connection limit {connections};
alter role {role} set statement_timeout = '{statement_ms}ms';
alter role {role} set idle_in_transaction_session_timeout = '{idle_ms}ms';
alter role {role} set work_mem = '{work_mem}MB';
alter role {role} set temp_file_limit = '{temp_kib}kB';
alter role {role} set max_parallel_workers_per_gather = 0;
alter role {role} set default_transaction_read_only = on;
alter role {role} set jit = off;
alter role {role} set search_path = matrix;
alter role {role} set client_connection_check_interval = '10s'

-- name: writer_settings
alter role {role} connection limit {connections};
alter role {role} set search_path = matrix

-- name: create_database
-- Nobody can connect before it is closed to all but its own.
create database {database} owner {owner} template template0 encoding 'UTF8' allow_connections false

-- name: database_rights
revoke all on database {database} from public;
grant connect on database {database} to {reader};
grant connect, temporary on database {database} to {writer};
alter database {database} allow_connections true

-- name: drop_database
drop database if exists {database} with (force)

-- name: schema_rights
-- As the owner. Whatever tables and views come later, these rights come with them.
revoke all on schema public from public;
grant usage on schema matrix to {reader}, {writer};
grant select on all tables in schema matrix to {reader};
grant select, insert on all tables in schema matrix to {writer};
alter default privileges in schema matrix grant select on tables to {reader};
alter default privileges in schema matrix grant select, insert on tables to {writer}

-- name: public_functions
-- What everybody may call, and must not here: large objects (they fill the disk), advisory locks (they fill the lock
-- table of the whole server), notifications, and what tells of sessions and traffic in other databases.
select p.oid::regprocedure::text as function from pg_proc p
where p.pronamespace = 'pg_catalog'::regnamespace
  and p.proname ~ '{pattern}'
  and has_function_privilege('public', p.oid, 'execute')
order by 1

-- name: close_function
revoke execute on function pg_catalog.{function} from public

-- name: close_language
revoke usage on language plpgsql from public;
grant usage on language plpgsql to {owner}

-- name: writer_functions
grant execute on function pg_catalog.pg_advisory_xact_lock(bigint), pg_catalog.pg_advisory_xact_lock(integer, integer)
to {writer}

-- name: set_password
alter role {role} password '{verifier}'

-- name: shut_out
alter role {role} nologin

-- name: log_in_again
alter role {role} login

-- name: end_sessions
select count(*) filter (where pg_terminate_backend(pid)) as ended from pg_stat_activity where usename = any($1)

-- name: drop_role
drop role if exists {role}

-- name: inspect
select d.datname is not null as is_there,
  coalesce((select r.rolcanlogin from pg_roles r where r.rolname = $2), false) as reader_may_log_in,
  (select count(*)::int from pg_stat_activity a where a.usename = $2) as sessions,
  case when d.datname is not null then pg_database_size(d.oid) else 0 end as size_bytes
from (values (1)) one left join pg_database d on d.datname = $1
