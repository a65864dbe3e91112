-- What waits is found in one pass over all objects that files speak of: each pass is a stack of views, which takes longer to
-- bind than to read.
create view boxed_objects as
    select source, file, label_field, model, line, annotation, label, confidence, logits, iscrowd, sample_id, counts,
        pixels_across, pixels_down, keys, image_id, category, reason, candidates,
        coalesce(sample_id is not null and label is not null and across > 0 and down > 0, false) as is_placed,
        if(turn is null, x, if(turn in (6, 7), 1 - y - height, y)) as x,
        if(turn is null, y, if(turn in (7, 8), 1 - x - width, x)) as y,
        if(turn is null, width, height) as width, if(turn is null, height, width) as height,
        if(turn is null, right_edge, null) as right_edge, if(turn is null, lower_edge, null) as lower_edge,
        case when turn is null then polygon else [[
            if(i % 2 = 1, turned_x(turn, ring[i], ring[i + 1]), turned_y(turn, ring[i - 1], ring[i]))
            for i in range(1, len(ring) + 1)] for ring in polygon] end as polygon
    from (
        select * replace (
                least(x, x + width) / across as x, least(y, y + height) / down as y, abs(width) / across as width,
                abs(height) / down as height,
                [[ring[i] / if(i % 2 = 1, across, down) for i in range(1, len(ring) + 1)] for ring in polygon] as polygon),
            greatest(x, x + width) / across as right_edge, greatest(y, y + height) / down as lower_edge
        from sized_objects);
create or replace view whole_objects as
    select * exclude (keys, image_id, category, reason, candidates, is_placed) from boxed_objects where is_placed;
create or replace view waiting_objects as
    select file, line, model,
        case when sample_id is null then coalesce(reason, 'no_sample') when label is null then 'unknown_class'
            when not is_placed then 'size_unknown' when has_area then 'box_outside' else 'box_size' end as reason,
        case when sample_id is null then unplaced(coalesce(keys[1], 'image_id ' || image_id), candidates)
            when label is null then 'category_id ' || category when not is_placed then coalesce(keys[1], 'image_id ' || image_id)
            when has_area then 'the box lies outside the image' else 'width and height must be above 0' end as detail
    from (
        select *, width > 0 and height > 0 as has_area,
            least(coalesce(right_edge, x + width), 1) - greatest(x, 0) as shown_across,
            least(coalesce(lower_edge, y + height), 1) - greatest(y, 0) as shown_down
        from boxed_objects)
    where not is_placed or shown_across <= 0 or shown_down <= 0;
