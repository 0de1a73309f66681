-- Roles, groups of users, and who changed them.

-- name: organisation
select organisation_id from properties where id = $1;

-- name: roles
select * from iam_roles where property_id = $1 and ($2::text is null or name = $2) order by name;

-- name: lock_role
select * from iam_roles where property_id = $1 and name = $2 for update;

-- Nobody removes a role while it is being given to somebody: who does so shares the row.
-- name: share_role
select true from iam_roles where property_id = $1 and name = $2 for key share;

-- name: create_role
insert into iam_roles (property_id, name, document, pending_since, created_by, created_at, updated_by, updated_at)
values ($1, $2, $3, $4, $5, $6, $5, $6) on conflict do nothing returning *;

-- name: save_role
update iam_roles set document = $3, pending_since = $4, version = version + 1, updated_by = $5, updated_at = $6
where property_id = $1 and name = $2 returning *;

-- name: remove_role
delete from iam_roles where property_id = $1 and name = $2;

-- Some of those who have a role, or are narrowed by it.
-- name: holders
select 'group ' || name as holder from iam_groups where property_id = $1 and role_id = $2
union all
select 'key ' || id from key_overviews
where property_id = $1 and role_id = $2 and revoked_at is null and (expires_at is null or expires_at > $3)
union all
select 'identity application ' || id from identity_applications
where property_id = $1 and (role_id = $2 or boundary_id = $2)
limit 5;

-- name: groups
select g.*, coalesce((
    select json_agg(json_build_array(m.kind, m.member) order by m.kind, m.member)::text from iam_members m
    where m.property_id = g.property_id and m.group_name = g.name
  ), '[]') as members
from iam_groups g
where g.property_id = $1 and ($2::text is null or g.name = $2)
order by g.name;

-- name: lock_group
select true from iam_groups where property_id = $1 and name = $2 for update;

-- name: create_group
insert into iam_groups (property_id, name, role_id, created_by, created_at, updated_by, updated_at)
values ($1, $2, $3, $4, $5, $4, $5) on conflict do nothing returning true;

-- name: save_group
update iam_groups set role_id = $3, version = version + 1, updated_by = $4, updated_at = $5
where property_id = $1 and name = $2;

-- name: remove_group
delete from iam_groups where property_id = $1 and name = $2;

-- name: remove_members
delete from iam_members where property_id = $1 and group_name = $2;

-- Those who are in another group already are left out, and so come short.
-- name: add_members
insert into iam_members (property_id, group_name, kind, member)
select $1, $2, m.kind, m.member from unnest($3::text[], $4::text[]) as m (kind, member)
order by m.kind, m.member  -- so that two who add some at the same time do not wait for each other in a circle
on conflict do nothing returning kind, member;

-- name: member_roles
select m.property_id, m.kind, m.member, g.role_id from iam_members m
  join iam_groups g on g.property_id = m.property_id and g.name = m.group_name
where $1::text is null or m.property_id = $1;

-- name: all_roles
select * from iam_roles order by property_id, name;

-- name: organisations
select id, organisation_id from properties;

-- An address that several seats have is nobody's.
-- name: seats
select lower(email) as email, min(id) as id from seats
where property_id = $1 and active and email <> '' group by lower(email) having count(*) = 1;

-- A seat by its id, and those that have an address.
-- name: seat_in_group
select exists (
  select from iam_members m left join seats s on s.property_id = m.property_id and s.id = m.member
  where m.property_id = $1 and m.kind = 'seat'
    and (m.member = $2 or ($3::text <> '' and lower(s.email) = lower($3::text)))
);

-- name: add_change
insert into iam_changes (property_id, kind, name, act, version, document, actor, at)
values ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: changes
select number, kind, name, act, version, document, actor, at from iam_changes
where property_id = $1 and kind = $2 and name = $3 order by number desc limit $4;
