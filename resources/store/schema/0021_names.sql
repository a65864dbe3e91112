-- Which sample each name in a file means; NULL with a reason where none does, or where several could be meant.
create table label_names (
    source integer not null, file varchar not null, name varchar not null, sample_id varchar, reason varchar,
    candidates varchar[], changed bigint not null
);
create table prediction_names (
    source integer not null, file varchar not null, name varchar not null, sample_id varchar, reason varchar,
    candidates varchar[], changed bigint not null
);
insert into keys values
    ('label_names', ['source', 'file', 'name']), ('prediction_names', ['source', 'file', 'name']);

-- How names are compared: in NFC, with the slashes of here, members of archives as if these were folders, addresses without
-- what follows the path.
create macro spelled(name) as regexp_replace(regexp_replace(regexp_replace(
    nfc_normalize(replace(replace(name, '\', '/'), '!/', '/')),
    '^(https?://[^?#]*)[?#].*$', '\1'), '^(file://|/data/local-files/\?d=)?(\./)*', ''), '([^:])/(\.?/)+', '\1/', 'g');
-- A path without its steps upwards, of which more than four are none that people write.
create macro step_taken(path) as regexp_replace(path, '[^/]+/\.\./', '');
create macro collapsed(path) as if(contains(path, '/../'), step_taken(step_taken(step_taken(step_taken(path)))), path);
create macro without_suffix(path) as regexp_replace(path, '\.[^./]*$', '');
-- The split that a folder's name speaks of, such as train2017; NULL for others.
create macro split_word(part) as
    nullif(regexp_extract(lower(part), '(?:^|[^a-z])(train|val|test)(?:ing|id|idation)?(?:[^a-z]|$)', 1), '');
-- What is shown of a name that means no sample.
create macro unplaced(name, candidates) as
    name || case when candidates is null then '' else ': could be ' || array_to_string(candidates, ', ') end;

create or replace view named_images as
    select images.source, images.file, label_field, image_id, width, height, sample_id,
        rank() over (partition by sample_id, label_field order by images.source desc, images.file desc) = 1 as counts
    from label_images images
    join label_names names on names.source = images.source and names.file = images.file and names.name = keys[1]
    where sample_id is not null;

-- Results that name images by number mean the numbers of one label file: of those that hold all of them, the last; where none
-- does, of all that hold some. Where these understand a number differently, nobody can tell which is meant.
alter table input_files add column image_ids varchar;
create view numbered_results as
    select distinct source, file, label_field, image_id from prediction_objects where keys is null;
create view result_scopes as
    select * from (
        select results.source, results.file, results.label_field, images.source as label_source, images.file as label_file,
            count(*) = any_value(numbers) as whole
        from (select *, count(*) over (partition by source, file, label_field) as numbers from numbered_results) results
        join label_images images using (label_field, image_id)
        left join input_files declared on declared.role = 'predictions' and declared.source = results.source
            and declared.file = results.file
        where image_ids is null or parse_filename(image_ids) = parse_filename(images.file)
        group by all)
    qualify whole or not bool_or(whole) over (partition by source, file, label_field);
create or replace view image_numbers as
    select *, bool_or(meanings > 1) over (partition by source, file, label_field) as is_ambiguous from (
        select results.source, results.file, results.label_field, results.image_id,
            count(distinct coalesce(sample_id, spelled(keys[1]))) as meanings, min(sample_id) as sample_id,
            arg_max(width, (label_source, label_file)) as width, arg_max(height, (label_source, label_file)) as height,
            list_sort(list_distinct(list(label_file)))[:3] as candidates
        from numbered_results results join result_scopes using (source, file, label_field)
        join label_images images on images.source = label_source and images.file = label_file
            and images.label_field = results.label_field and images.image_id = results.image_id
        join label_names names on names.source = images.source and names.file = images.file and names.name = keys[1]
        group by all);
create view result_categories as
    select scopes.source, scopes.file, label_field, category, arg_max(name, (label_source, label_file)) as name
    from result_scopes scopes join label_categories on label_categories.source = label_source and label_categories.file = label_file
    group by all;

create or replace view named_objects as
    select label_objects.*, images.sample_id, images.width as image_width, images.height as image_height, counts,
        names.reason, names.candidates
    from label_objects left join named_images images using (source, file, label_field, image_id)
    left join label_names names on names.source = label_objects.source and names.file = label_objects.file
        and names.name = keys[1]
    union all
    select prediction_objects.*, if(is_ambiguous, null, sample_id), images.width, images.height, true,
        if(is_ambiguous, 'ambiguous', null), if(is_ambiguous, images.candidates, null)
    from prediction_objects left join image_numbers images using (source, file, label_field, image_id) where keys is null
    union all
    select prediction_objects.*, sample_id, null, null, true, names.reason, names.candidates
    from prediction_objects left join prediction_names names on names.source = prediction_objects.source
        and names.file = prediction_objects.file and names.name = keys[1]
    where keys is not null;
create or replace view sized_objects as
    select named_objects.* exclude (label), coalesce(named_objects.label, result_categories.name, category_names.name) as label,
        if(relative, 1.0, coalesce(image_width, media.width)) as across,
        if(relative, 1.0, coalesce(image_height, media.height)) as down
    from named_objects left join result_categories using (source, file, label_field, category)
    left join category_names on category_names.category = named_objects.category and keys is not null
    left join samples using (sample_id) left join media using (content_hash);
create or replace view waiting_objects as
    select file, line, model, case when sample_id is null then coalesce(reason, 'no_sample')
            when label is null then 'unknown_class' else 'size_unknown' end as reason,
        if(sample_id is null, unplaced(coalesce(keys[1], 'image_id ' || image_id), candidates), 'category_id ' || category) as detail
    from sized_objects where sample_id is null or label is null or coalesce(across, 0) <= 0 or coalesce(down, 0) <= 0
    union all
    select file, line, model, 'box_outside', 'the box lies outside the image' from placed_objects where width <= 0 or height <= 0;
-- An annotation's id that its image has twice is made unique by the order of the lines.
create or replace view effective_objects as
    select *, sample_id || substr(md5(concat_ws('|', model, label_field, coalesce(annotation, concat_ws('|', label, x, y, width,
            height, polygon::varchar)),
            if(annotation is null, row_number() over (partition by source, file, sample_id, model, label_field, label, x, y,
                width, height, polygon, annotation order by line),
                row_number() over (partition by source, file, sample_id, model, label_field, annotation order by line) - 1))),
            1, 12) as object_id
    from placed_objects where width > 0 and height > 0 and counts
    qualify rank() over (partition by sample_id, label_field, model order by source desc, file desc) = 1;
drop view object_keys;
drop view sample_keys;

-- A line, or a file as a whole, may be rejected for one reason more than once.
create table rejected_again (
    role varchar not null, source integer not null, file varchar not null, line bigint not null, reason varchar not null,
    detail varchar not null, changed bigint not null
);
insert into rejected_again by name select * replace (coalesce(detail, '') as detail) from rejected_rows;
drop table rejected_rows;
alter table rejected_again rename to rejected_rows;
insert into keys values ('rejected_rows', ['role', 'source', 'file', 'line', 'reason', 'detail']);
