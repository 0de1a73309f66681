-- A subscription leads to a database that is there, and of its own property. Source: docs/decisions/0022-rows-into-a-database.md

alter table databases add unique (property_id, id);
alter table subscriptions add column database_id text
  generated always as (case when kind = 'postgres' then substr(url, 10) end) stored;
alter table subscriptions add foreign key (property_id, database_id) references databases (property_id, id);
create index on subscriptions (database_id) where database_id is not null;
