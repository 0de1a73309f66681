-- Access tokens, and who is renewing them. A config_digest is the version of the subscription (8 bytes) it was made
-- of, then the digest of the authentication (32 bytes).

-- name: state
select version, sealed, expires_at, config_digest, renewing_until > clock_timestamp() as renewing
from tokens where subscription_id = $1;

-- name: create
insert into tokens (subscription_id, config_digest)
select id, $2 from subscriptions where id = $1
on conflict do nothing
returning subscription_id;

-- The right to renew: of the version that was seen, or where there is no token yet, if nobody holds it; and in any case
-- for a newer configuration, with which what is there belongs to the past.
-- name: take
with old as (
  select subscription_id, renewing_by is not null as held, substr(config_digest, 9) = substr($2::bytea, 9) as same
  from tokens
  where subscription_id = $1
    and case when substr(config_digest, 9) = substr($2::bytea, 9)
      then (sealed is null or version = $4) and (renewing_until is null or renewing_until <= clock_timestamp())
      else substr(config_digest, 1, 8) <= substr($2::bytea, 1, 8) end
  for update
)
update tokens t set
  config_digest = case when old.same then t.config_digest else $2 end,
  sealed = case when old.same then t.sealed end,
  expires_at = case when old.same then t.expires_at end,
  renewing_by = $3,
  renewing_until = clock_timestamp() + make_interval(secs => $5)
from old where t.subscription_id = old.subscription_id
returning t.version, t.sealed, t.expires_at, old.held and old.same as lapsed;

-- name: save
update tokens set version = version + 1, sealed = $4, expires_at = $5, renewing_by = null, renewing_until = null
where subscription_id = $1 and version = $2 and substr(config_digest, 9) = substr($3::bytea, 9)
returning version;

-- name: give_back
update tokens set renewing_by = null, renewing_until = null where subscription_id = $1 and renewing_by = $2;
