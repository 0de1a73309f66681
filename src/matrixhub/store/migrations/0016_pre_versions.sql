-- What is kept in memory is kept together with a number: whoever reads asks for the number first, and reads anew where it
-- is another one. Source: docs/decisions/0013-versions.md

create table versions (
  scope text primary key,          -- `building:<id>`, `property:<id>`, `access`
  number bigint not null
) with (fillfactor = 50);

-- Counted at the commit, once a transaction: no row of this table is locked while something else is waited for, and
-- nobody sees the new number before the new rows.
create function count_version(wanted text) returns void language plpgsql as $$
declare
  counted text := coalesce(current_setting('matrixhub.counted', true), '');
begin
  if position(E'\x01' || wanted || E'\x01' in counted) = 0 then
    insert into versions (scope, number) values (wanted, 1)
      on conflict (scope) do update set number = versions.number + 1;
    perform set_config('matrixhub.counted', counted || E'\x01' || wanted || E'\x01', true);
  end if;
end $$;

create function count_building() returns trigger language plpgsql as $$
begin
  if tg_op <> 'DELETE' then
    perform count_version('building:' || new.building_id);
  end if;
  if tg_op = 'DELETE' or (tg_op = 'UPDATE' and old.building_id <> new.building_id) then
    perform count_version('building:' || old.building_id);
  end if;
  return null;
end $$;

create function count_itself() returns trigger language plpgsql as $$
begin
  perform count_version(tg_argv[0] || ':' || case when tg_op = 'DELETE' then old.id else new.id end);
  return null;
end $$;

-- Whatever decides who may do what.
create function count_access() returns trigger language plpgsql as $$
begin
  perform count_version('access');
  return null;
end $$;

create constraint trigger count_version after insert or update or delete on properties
  deferrable initially deferred for each row execute function count_itself('property');
create constraint trigger count_version after insert or update or delete on buildings
  deferrable initially deferred for each row execute function count_itself('building');
create constraint trigger count_version after insert or update or delete on levels
  deferrable initially deferred for each row execute function count_building();
create constraint trigger count_version after insert or update or delete on zones
  deferrable initially deferred for each row execute function count_building();
create constraint trigger count_version after insert or update or delete on slots
  deferrable initially deferred for each row execute function count_building();
create constraint trigger count_version after insert or update or delete on ingest_keys
  deferrable initially deferred for each row execute function count_access();
