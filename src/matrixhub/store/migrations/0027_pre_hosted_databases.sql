-- How far the hub is with a database that it hosts. Source: docs/decisions/0023-hosted-databases.md

alter table databases add column state text not null default 'ready' check (state in ('making', 'ready', 'dropping'));
