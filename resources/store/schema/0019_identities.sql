-- What a run has seen, in columns; and the tables that its last update read, which wake it when they change. Runs whose
-- tables are not known are woken by any.
create table identities as
    select asset, brain_key, fingerprint ->> '$[0]' as code_version, fingerprint -> '$[1]' as settings,
        coalesce(fingerprint ->> '$[2]', '') as model_version, number
    from watermarks;
drop table watermarks;
create table watermarks (
    asset varchar, brain_key varchar, code_version varchar not null, settings varchar not null,
    model_version varchar not null, scalars varchar not null, reads varchar[] not null, number bigint not null,
    due boolean not null, primary key (asset, brain_key)
);
insert into watermarks
    select asset, brain_key, code_version, settings::varchar, model_version, '{}', (select list(table_name) from versions), number, false
    from identities;
drop table identities;
-- What each subject of a run was judged by.
create table seen (asset varchar, brain_key varchar, part varchar, subject varchar, digest ubigint);
