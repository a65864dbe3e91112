-- An object's id begins with that of its image, so that what was said of it follows the image to another name.
create macro sample_of(subject) as left(subject, 20);
create or replace view effective_objects as
    select *, sample_id || substr(md5(concat_ws('|', model, label_field, coalesce(annotation, concat_ws('|', label, x, y, width,
            height, polygon::varchar)),
            if(annotation is null, row_number() over (partition by sample_id, model, label_field, label, x, y, width, height,
                polygon, annotation order by line), 0))), 1, 12) as object_id
    from placed_objects where width > 0 and height > 0 and counts
    qualify rank() over (partition by sample_id, label_field, model order by source desc, file desc) = 1;
delete from moves where former_id in (select object_id from objects union all select object_id from dropped_objects);
create or replace view borne_decisions as
    select *, subject_id as said_of from decisions
    union all
    select decisions.* replace (moves.sample_id || substr(subject_id, 21) as subject_id), subject_id as said_of
    from decisions join moves on former_id = sample_of(subject_id);
create or replace view borne_tags as
    select *, subject_id as said_of from said_tags
    union all
    select said_tags.* replace (moves.sample_id || substr(subject_id, 21) as subject_id), subject_id as said_of
    from said_tags join moves on former_id = sample_of(subject_id);
