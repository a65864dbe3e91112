-- The right and lower edges of a box that is not turned, computed as version 0.1 did, to the last bit: ids of objects that have no
-- number of their own follow from the box, and what reviewers said of them is kept by their ids.
create or replace view whole_objects as
    select source, file, label_field, model, line, annotation, label, confidence, logits, iscrowd, sample_id, counts,
        pixels_across, pixels_down,
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
        from sized_objects where sample_id is not null and label is not null and across > 0 and down > 0);
create or replace view placed_objects as
    select * exclude (right_edge, lower_edge) replace (
            greatest(x, 0) as x, greatest(y, 0) as y, least(coalesce(right_edge, x + width), 1) - greatest(x, 0) as width,
            least(coalesce(lower_edge, y + height), 1) - greatest(y, 0) as height),
        width > 0 and height > 0 as has_area
    from whole_objects;
