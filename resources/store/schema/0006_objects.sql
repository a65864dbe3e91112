-- Objects as files of labels and predictions give them, in the files' units, and the images that labels speak of.
create table label_objects (
    source integer, file varchar, label_field varchar, model varchar, line bigint, keys varchar[], image_id varchar,
    annotation varchar, label varchar, category varchar, confidence double, x double, y double, width double, height double,
    polygon double[][], iscrowd boolean, relative boolean, changed bigint not null,
    primary key (source, file, line)
);
create table prediction_objects (
    source integer, file varchar, label_field varchar, model varchar, line bigint, keys varchar[], image_id varchar,
    annotation varchar, label varchar, category varchar, confidence double, x double, y double, width double, height double,
    polygon double[][], iscrowd boolean, relative boolean, changed bigint not null,
    primary key (source, file, line)
);
create table label_images (
    source integer, file varchar, label_field varchar, image_id varchar, keys varchar[], width double, height double,
    changed bigint not null, primary key (source, file, image_id)
);
create table label_categories (
    source integer, file varchar, category varchar, name varchar, changed bigint not null,
    primary key (source, file, category)
);

-- What may name a sample beside its path: the path without suffix, and a file's bare name where only one has it.
create view object_keys as
    from sample_keys
    union all select sample_id, regexp_replace(key, '\.[^./]*$', '') from sample_keys where key != sample_id
    union all select min(sample_id), '//' || parse_filename(filepath) as key from samples group by key having count(*) = 1
    union all select min(sample_id), '//' || parse_filename(filepath, true) as key from samples group by key
        having count(*) = 1;

-- Which sample each annotated image is, and which file counts for it: the last that speaks of it.
create view named_images as
    select source, file, label_field, image_id, images.width, images.height, sample_id,
        rank() over (partition by sample_id, label_field order by source desc, file desc) = 1 as counts
    from (select * exclude (keys), unnest(keys) as key, generate_subscripts(keys, 1) as turn from label_images) images
    join object_keys using (key)
    qualify row_number() over (partition by source, file, image_id order by turn, sample_id) = 1;
create view image_numbers as
    from named_images qualify row_number() over (partition by label_field, image_id order by source desc, file desc) = 1;
create view category_names as
    select category, name from label_categories
    qualify row_number() over (partition by category order by source desc, file desc) = 1;
create view named_objects as
    select label_objects.*, sample_id, images.width as image_width, images.height as image_height, counts
    from label_objects left join named_images images using (source, file, label_field, image_id)
    union all
    select prediction_objects.*, sample_id, images.width, images.height, true
    from prediction_objects left join image_numbers images using (label_field, image_id) where keys is null
    union all
    select given.* exclude (key, turn), sample_id, null, null, true
    from (select *, unnest(keys) as key, generate_subscripts(keys, 1) as turn from prediction_objects where keys is not null) given
    left join object_keys using (key)
    qualify row_number() over (partition by source, file, line order by sample_id is null, turn, sample_id) = 1;
create view sized_objects as
    select named_objects.* exclude (label), coalesce(named_objects.label, name) as label,
        if(relative, 1.0, coalesce(image_width, media.width)) as across,
        if(relative, 1.0, coalesce(image_height, media.height)) as down
    from named_objects left join category_names using (category)
    left join samples using (sample_id) left join media using (content_hash);
create view placed_objects as
    select source, file, label_field, model, line, annotation, label, confidence, iscrowd, sample_id, counts,
        greatest(x / across, 0) as x, greatest(y / down, 0) as y,
        least((x + width) / across, 1) - greatest(x / across, 0) as width,
        least((y + height) / down, 1) - greatest(y / down, 0) as height,
        [[ring[i] / if(i % 2 = 1, across, down) for i in range(1, len(ring) + 1)] for ring in polygon] as polygon
    from sized_objects where sample_id is not null and label is not null and across > 0 and down > 0;
create view waiting_objects as
    select file, line, model, case when sample_id is null then 'no_sample' when label is null then 'unknown_class'
            else 'size_unknown' end as reason,
        if(sample_id is null, coalesce(keys[1], 'image_id ' || image_id), 'category_id ' || category) as detail
    from sized_objects where sample_id is null or label is null or coalesce(across, 0) <= 0 or coalesce(down, 0) <= 0
    union all
    select file, line, model, 'box_outside', 'the box lies outside the image' from placed_objects where width <= 0 or height <= 0;
create view effective_objects as
    select *, substr(md5(concat_ws('|', sample_id, model, label_field, coalesce(annotation, concat_ws('|', label, x, y, width,
            height, polygon::varchar)),
            if(annotation is null, row_number() over (partition by sample_id, model, label_field, label, x, y, width, height,
                polygon, annotation order by line), 0))), 1, 20) as object_id
    from placed_objects where width > 0 and height > 0 and counts
    qualify rank() over (partition by sample_id, label_field, model order by source desc, file desc) = 1;

create table objects (
    object_id varchar primary key, sample_id varchar not null, label_field varchar not null, model varchar not null,
    label varchar not null, confidence double, x double, y double, width double, height double, polygon double[][],
    iscrowd boolean not null, changed bigint not null
);
-- One row per image and who speaks of it, with a digest of the objects: what the comparison wakes by.
create table object_images (
    sample_id varchar, label_field varchar, model varchar, objects bigint not null, digest ubigint not null,
    changed bigint not null, primary key (sample_id, label_field, model)
);
create table object_mistakenness (
    object_id varchar, model varchar, sample_id varchar not null, label_field varchar not null, source varchar not null,
    mistakenness double, mistakenness_loc double, possible_missing boolean, possible_spurious boolean, missing_score double,
    spurious_score double, matched_id varchar, iou double, suggested varchar, changed bigint not null,
    primary key (object_id, model)
);
