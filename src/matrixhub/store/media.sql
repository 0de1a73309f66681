-- Media attachments.

-- name: lock_quota
select pg_advisory_xact_lock(hashtextextended('media:' || $1, 1));

-- name: kept_bytes
select coalesce(sum(size_bytes), 0)::bigint from media where property_id = $1;

-- name: insert
insert into media (id, property_id, kind, entity, media_type, size_bytes, content, thumbnail, created_by, created_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);

-- name: show
select id, property_id, kind, entity, media_type, size_bytes, thumbnail is not null as has_thumbnail, created_by,
  created_at
from media where property_id = $1 and id = $2;

-- name: page
select id, property_id, kind, entity, media_type, size_bytes, thumbnail is not null as has_thumbnail, created_by,
  created_at
from media
where property_id = $1 and ($2::timestamptz is null or (created_at, id) > ($2, $3))
order by created_at, id limit $4;

-- name: content
select media_type, content from media where property_id = $1 and id = $2;

-- name: thumbnails
select id, thumbnail from media where property_id = $1 and id = any($2);

-- name: delete
delete from media where property_id = $1 and id = $2 returning id;
