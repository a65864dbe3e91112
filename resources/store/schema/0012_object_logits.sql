-- Scores of predicted objects over the classes.
alter table label_objects add column logits float[];
alter table prediction_objects add column logits float[];
alter table objects add column logits float[];
-- As before, with all columns of the tables that have changed.
create or replace view named_objects as
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
create or replace view sized_objects as
    select named_objects.* exclude (label), coalesce(named_objects.label, name) as label,
        if(relative, 1.0, coalesce(image_width, media.width)) as across,
        if(relative, 1.0, coalesce(image_height, media.height)) as down
    from named_objects left join category_names using (category)
    left join samples using (sample_id) left join media using (content_hash);
create or replace view placed_objects as
    select source, file, label_field, model, line, annotation, label, confidence, logits, iscrowd, sample_id, counts,
        greatest(x / across, 0) as x, greatest(y / down, 0) as y,
        least((x + width) / across, 1) - greatest(x / across, 0) as width,
        least((y + height) / down, 1) - greatest(y / down, 0) as height,
        [[ring[i] / if(i % 2 = 1, across, down) for i in range(1, len(ring) + 1)] for ring in polygon] as polygon
    from sized_objects where sample_id is not null and label is not null and across > 0 and down > 0;
create or replace view effective_objects as
    select *, substr(md5(concat_ws('|', sample_id, model, label_field, coalesce(annotation, concat_ws('|', label, x, y, width,
            height, polygon::varchar)),
            if(annotation is null, row_number() over (partition by sample_id, model, label_field, label, x, y, width, height,
                polygon, annotation order by line), 0))), 1, 20) as object_id
    from placed_objects where width > 0 and height > 0 and counts
    qualify rank() over (partition by sample_id, label_field, model order by source desc, file desc) = 1;
