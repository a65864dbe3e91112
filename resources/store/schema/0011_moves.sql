-- Samples that stand in for others: what was said of a file that is gone counts for the one that came with its content.
create table moves (sample_id varchar, former_id varchar, changed bigint not null, primary key (sample_id, former_id));
create view borne_decisions as
    select *, subject_id as said_of from decisions
    union all
    select decisions.* replace (moves.sample_id as subject_id), decisions.subject_id as said_of
    from decisions join moves on former_id = decisions.subject_id;
create view borne_tags as
    select *, subject_id as said_of from said_tags
    union all
    select said_tags.* replace (moves.sample_id as subject_id), said_tags.subject_id as said_of
    from said_tags join moves on former_id = said_tags.subject_id;
create or replace view last_decisions as
    select *, if(kind = 'relabel', 'label', 'fate') as aspect from borne_decisions where undone_at is null
    qualify row_number() over (partition by subject_id, aspect order by event_id desc, said_of) = 1;
