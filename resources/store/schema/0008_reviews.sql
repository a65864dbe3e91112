-- What people said on the review page: every event about every subject, and when it was taken back.
create table decisions (
    decision_id varchar primary key, event_id bigint not null, subject_id varchar not null, content_hash varchar,
    kind varchar not null, value varchar, issue varchar, said_by varchar not null, said_at timestamptz not null,
    undone_at timestamptz, changed bigint not null
);
create table said_tags (
    event_id bigint, subject_id varchar, tag varchar not null, present boolean not null, content_hash varchar,
    said_by varchar not null, said_at timestamptz not null, undone_at timestamptz, changed bigint not null,
    primary key (event_id, subject_id)
);
-- Of what was not taken back, the last word on each subject's fate (keep or drop) and on its label.
create view last_decisions as
    select *, if(kind = 'relabel', 'label', 'fate') as aspect from decisions where undone_at is null
    qualify row_number() over (partition by subject_id, aspect order by event_id desc) = 1;

-- A dropped sample stays in `samples` and leaves whatever is derived of it, as one that cannot be read does.
alter table samples add column dropped boolean default false;
create or replace view readable as
    select sample_id, content_hash, ordinal, greatest(samples.changed, media.changed) as changed
    from samples join media using (content_hash)
    where media.status = 'ok' and samples.error is null and not samples.dropped;
create view live_samples as select sample_id from samples where not dropped;
create or replace view sample_facts as
    select samples.*, width, height, format, mode, frames, taken_at, status from samples left join media using (content_hash);

-- Objects that were dropped: their images are named here, as `objects` holds them no longer.
create table dropped_objects (object_id varchar primary key, sample_id varchar not null, changed bigint not null);
create view subject_contents as
    select sample_id as subject_id, content_hash from samples
    union all select object_id, content_hash from objects join samples using (sample_id)
    union all select object_id, content_hash from dropped_objects join samples using (sample_id);
