-- What reviewers drew, moved and confirmed; and what they said of pairs, by the contents of both.
alter table objects add column origin varchar default 'file';
create table said_pairs (
    event_id bigint not null, first_content varchar not null, second_content varchar not null, kind varchar not null,
    said_by varchar not null, said_at timestamptz not null, undone_at timestamptz, changed bigint not null
);
insert into keys values ('said_pairs', ['event_id', 'first_content', 'second_content']);
create view decided_pairs as
    select first_content, second_content, kind, event_id from said_pairs where undone_at is null
    qualify row_number() over (partition by first_content, second_content order by event_id desc) = 1;
-- Of what was not taken back, the last word on each subject's fate (keep, drop or confirm), label and shape.
create or replace view last_decisions as
    select *, case kind when 'relabel' then 'label' when 'reshape' then 'shape' when 'draw' then 'made' else 'fate' end as aspect
    from borne_decisions where undone_at is null and kind not in ('not_copy', 'same_scene')
    qualify row_number() over (partition by subject_id, aspect order by event_id desc, said_of) = 1;
create view reviewed_shapes as
    select subject_id, sample_of(subject_id) as sample_id, content_hash, event_id, kind, value ->> '$.label_field' as label_field,
        value ->> '$.label' as label, (value ->> '$.x')::double as x, (value ->> '$.y')::double as y,
        (value ->> '$.width')::double as width, (value ->> '$.height')::double as height,
        (value -> '$.polygon')::double[][] as polygon
    from last_decisions where kind in ('draw', 'reshape', 'confirm') and value is not null;
-- A label that was made of what a model found has an id of its own.
create macro confirmed_id(object_id) as sample_of(object_id) || substr(md5(object_id), 1, 12);
create view made_objects as
    select * exclude (subject_id, kind), if(kind = 'confirm', confirmed_id(subject_id), subject_id) as object_id
    from reviewed_shapes where kind in ('draw', 'confirm');
-- What was drawn or confirmed is there because somebody said so, in whatever files it is.
create or replace view subject_contents as
    select sample_id as subject_id, content_hash from samples
    union all select object_id, content_hash from objects join samples using (sample_id)
    union all select object_id, content_hash from dropped_objects join samples using (sample_id)
    union all
    select subject_id, samples.content_hash from (select distinct subject_id, sample_id from reviewed_shapes where kind != 'reshape')
    join samples using (sample_id)
    where subject_id not in (select object_id from objects union all select object_id from dropped_objects);
