-- Geometry looks at the picture: a size that labels leave out is the picture's; where labels were drawn on the picture as it is
-- stored (their size is that before the turn that EXIF asks for), boxes and outlines are turned with it; where they have width
-- and height in the wrong order and nothing is turned, the picture's size holds.
create macro turned_x(turn, x, y) as case turn when 6 then 1 - y when 7 then 1 - y else y end;
create macro turned_y(turn, x, y) as case turn when 7 then 1 - x when 8 then 1 - x else x end;
create or replace view sized_objects as
    select * exclude (sided, stored, image_width, image_height, media_width, media_height, orientation),
        if(stored and orientation >= 5, orientation, null) as turn,
        case when relative then 1.0 when not sided or (stored and turn is null) then media_width else image_width end as across,
        case when relative then 1.0 when not sided or (stored and turn is null) then media_height else image_height end as down,
        media_width as pixels_across, media_height as pixels_down
    from (
        select named_objects.* exclude (label),
            coalesce(named_objects.label, result_categories.name, category_names.name) as label,
            coalesce(image_width > 0 and image_height > 0, false) as sided,
            not relative and sided and image_width = media.height and image_height = media.width
                and media.width != media.height as stored,
            media.width as media_width, media.height as media_height, media.orientation as orientation
        from named_objects left join result_categories using (source, file, label_field, category)
        left join category_names on category_names.category = named_objects.category and keys is not null
        left join samples using (sample_id) left join media using (content_hash));
-- Boxes with a corner at the upper left, whole and relative to the picture as it is shown.
create view whole_objects as
    select source, file, label_field, model, line, annotation, label, confidence, logits, iscrowd, sample_id, counts,
        pixels_across, pixels_down,
        if(turn is null, x, if(turn in (6, 7), 1 - y - height, y)) as x,
        if(turn is null, y, if(turn in (7, 8), 1 - x - width, x)) as y,
        if(turn is null, width, height) as width, if(turn is null, height, width) as height,
        case when turn is null then polygon else [[
            if(i % 2 = 1, turned_x(turn, ring[i], ring[i + 1]), turned_y(turn, ring[i - 1], ring[i]))
            for i in range(1, len(ring) + 1)] for ring in polygon] end as polygon
    from (
        select * replace (
                least(x, x + width) / across as x, least(y, y + height) / down as y, abs(width) / across as width,
                abs(height) / down as height,
                [[ring[i] / if(i % 2 = 1, across, down) for i in range(1, len(ring) + 1)] for ring in polygon] as polygon)
        from sized_objects where sample_id is not null and label is not null and across > 0 and down > 0);
create or replace view placed_objects as
    select * replace (
            greatest(x, 0) as x, greatest(y, 0) as y, least(x + width, 1) - greatest(x, 0) as width,
            least(y + height, 1) - greatest(y, 0) as height),
        width > 0 and height > 0 as has_area
    from whole_objects;
create or replace view waiting_objects as
    select file, line, model, case when sample_id is null then coalesce(reason, 'no_sample')
            when label is null then 'unknown_class' else 'size_unknown' end as reason,
        case when sample_id is null then unplaced(coalesce(keys[1], 'image_id ' || image_id), candidates)
            when label is null then 'category_id ' || category else coalesce(keys[1], 'image_id ' || image_id) end as detail
    from sized_objects where sample_id is null or label is null or coalesce(across, 0) <= 0 or coalesce(down, 0) <= 0
    union all
    select file, line, model, if(has_area, 'box_outside', 'box_size'),
        if(has_area, 'the box lies outside the image', 'width and height must be above 0')
    from placed_objects where width <= 0 or height <= 0;
create table box_faults (
    subject_id varchar not null, issue varchar not null, sample_id varchar not null, object_id varchar,
    label_field varchar not null, label varchar, boxes bigint not null, outside double, partner_id varchar,
    changed bigint not null
);
insert into keys values ('box_faults', ['subject_id', 'issue', 'label_field']);
