-- What a model found is placed by the size of the picture that its file tells, as labels are: a detector may have seen another size
-- than the one at hand, or a picture that cannot be decoded.
alter table prediction_objects add column image_width double;
alter table prediction_objects add column image_height double;
create or replace view named_objects as
    select label_objects.*, images.sample_id, images.width as image_width, images.height as image_height, counts,
        names.reason, names.candidates
    from label_objects left join named_images images using (source, file, label_field, image_id)
    left join label_names names on names.source = label_objects.source and names.file = label_objects.file
        and names.name = keys[1]
    union all
    select prediction_objects.* exclude (image_width, image_height), if(is_ambiguous, null, sample_id), images.width,
        images.height, true, if(is_ambiguous, 'ambiguous', null), if(is_ambiguous, images.candidates, null)
    from prediction_objects left join image_numbers images using (source, file, label_field, image_id) where keys is null
    union all
    select prediction_objects.* exclude (image_width, image_height), sample_id, image_width, image_height, true,
        names.reason, names.candidates
    from prediction_objects left join prediction_names names on names.source = prediction_objects.source
        and names.file = prediction_objects.file and names.name = keys[1]
    where keys is not null;
-- Files that tell sizes are read once more.
update input_files set touched_ns = -1
    where role = 'predictions' and (source, file) in (select (source, file) from prediction_objects where keys is not null);
