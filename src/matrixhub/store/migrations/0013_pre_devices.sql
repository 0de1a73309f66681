-- Devices: who may supply them, which device stood in which slot, whether it is in service, when it was last heard of.

-- Providers whose devices may stand in the slots of this hub: the part of a slot type before its `#`.
create table providers (
  name text primary key,
  approved_at timestamptz not null default now(),
  approved_by text not null default ''
);
insert into providers (name) values ('SMARTCLEAN');

-- Of most of these columns a site file says nothing.
alter table slots
  add column firmware text not null default '',
  add column connection text not null default '',
  add column commissioning text not null default 'new'
    check (commissioning in ('new', 'commissioned', 'decommissioned')),
  add column commissioned_at timestamptz,
  add column unhealthy_after_s integer check (unhealthy_after_s >= 0),   -- null: the setting; 0: never
  add column created_at timestamptz not null default now(),
  add column created_by text not null default 'site file',
  add column updated_at timestamptz not null default now(),
  add column updated_by text not null default 'site file',
  add column version bigint not null default 1;

-- A device stands in one slot. Where a site file has said otherwise until now, the first of its slots keeps it.
update slots s set hardware_id = ''
where s.hardware_id <> '' and exists (
  select from slots o
  where o.hardware_id = s.hardware_id and (o.property_id, o.ordinal, o.id) < (s.property_id, s.ordinal, s.id)
);
create unique index slots_hardware_id on slots (hardware_id) where hardware_id <> '';
create index on slots (building_id, id);

-- Which device stood in which slot, from when to when. Kept after the slot is gone, so without a reference to it.
create table associations (
  number bigint generated always as identity primary key,
  property_id text not null references properties on delete cascade,
  slot_id text not null,
  hardware_id text not null,
  began_at timestamptz not null,
  began_by text not null,
  ended_at timestamptz,
  ended_by text not null default ''
);
create unique index on associations (slot_id) where ended_at is null;
create index on associations (slot_id);
create index on associations (hardware_id);
insert into associations (property_id, slot_id, hardware_id, began_at, began_by)
select property_id, id, hardware_id, created_at, created_by from slots where hardware_id <> '' order by ordinal, id;

-- When a slot was last heard of, and its battery; apart and narrow, as it changes all the time.
create table slot_health (
  slot_id text primary key references slots on delete cascade,
  last_seen_at timestamptz not null,
  battery double precision
) with (fillfactor = 50);

-- Triggers, so that the history is true whoever changes slots: people, a site file, or the removal of a zone. They work on
-- all rows of a statement at once, as a site file may bring a hundred thousand. A battery is that of a device, so it goes
-- with it.
create function keep_associations() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    insert into associations (property_id, slot_id, hardware_id, began_at, began_by)
    select n.property_id, n.id, n.hardware_id, n.updated_at, n.updated_by from new_slots n where n.hardware_id <> '';
  elsif tg_op = 'DELETE' then
    update associations a set ended_at = greatest(a.began_at, o.updated_at, now()), ended_by = o.updated_by
    from old_slots o where a.slot_id = o.id and a.ended_at is null;
  else
    update associations a set ended_at = greatest(a.began_at, n.updated_at), ended_by = n.updated_by
    from old_slots o join new_slots n on n.id = o.id
    where o.hardware_id <> n.hardware_id and a.slot_id = o.id and a.ended_at is null;
    update slot_health h set battery = null
    from old_slots o join new_slots n on n.id = o.id
    where o.hardware_id <> n.hardware_id and h.slot_id = o.id and h.battery is not null;
    insert into associations (property_id, slot_id, hardware_id, began_at, began_by)
    select n.property_id, n.id, n.hardware_id, n.updated_at, n.updated_by
    from old_slots o join new_slots n on n.id = o.id
    where o.hardware_id <> n.hardware_id and n.hardware_id <> '';
  end if;
  return null;
end
$$;
create trigger associations_begun after insert on slots
  referencing new table as new_slots for each statement execute function keep_associations();
create trigger associations_changed after update on slots
  referencing old table as old_slots new table as new_slots for each statement execute function keep_associations();
create trigger associations_ended after delete on slots
  referencing old table as old_slots for each statement execute function keep_associations();
