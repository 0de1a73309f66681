-- The balance and retention.

-- Readings that count as delivered, parked or skipped already and yet lie behind the position: parts of a request that
-- were settled before the whole of it.
alter table subscription_progress add column ahead bigint not null default 0;

-- Where in the message `accepted_seq` the count of what is accepted goes on, after a filter was changed there.
alter table subscription_progress add column accepted_item integer not null default 0;

-- The first message that retention keeps: nobody may go back before it, because what lies there is about to be removed.
create table stream_floor (
  one boolean primary key default true check (one),
  seq bigint not null
);
insert into stream_floor (seq) values (1);

create or replace view subscription_overviews as
select s.*, p.owner, p.fence, p.position_seq, p.position_item, p.sending_seq, p.sending_item, p.lanes_done, p.step,
  p.epoch, p.delivered, p.parked, p.expired, p.skipped, p.replayed, p.accepted, p.accepted_seq, p.attempts_failed,
  p.failures, p.failing_since, p.retry_at, p.last_error, p.last_delivered_at,
  case when p.redrive_asked > p.redrive_done then p.redrive_asked else 0 end as redrive,
  array(select e.target from egress_allowances e where e.property_id = s.property_id) as egress_allow,
  r.id as replay_id, r.from_seq as replay_seq, r.from_item as replay_item, p.ahead,
  p.accepted_item
from subscriptions s
  join subscription_progress p on p.subscription_id = s.id
  left join lateral (
    select * from replays r where r.subscription_id = s.id and r.begun_at is null order by r.requested_at, r.id limit 1
  ) r on true;
