-- What the decode pass found in each crop of an image: the pixels that it holds, and what copies are found by.
create table crops (
    input_key varchar primary key, content_hash varchar not null, rectangle bigint[] not null, phash ubigint not null,
    phash_mirrored ubigint not null, preview_offset bigint, preview_length integer, changed bigint not null
);

-- Whatever may be a copy of another: whole images, and crops of them. Pictures of one identity have the same pixels.
create view pictures as
    select content_hash as picture, coalesce(pixel_hash, content_hash) as identity, content_hash,
        [0, 0, width, height]::bigint[] as rectangle, phash, phash_mirrored, preview_offset, preview_length, media.changed
    from media left join pixel_hashes using (content_hash) where status = 'ok'
    union all
    select input_key, input_key, content_hash, rectangle, phash, phash_mirrored, preview_offset, preview_length, changed
    from crops;
-- The picture of every subject that has a vector; of objects with one box in one image the first stands for all.
create view depicted as
    select brain_key, subject_id, embeddings.sample_id, object_id, model_version, input_key,
        if(object_id is null, content_hash, input_key) as picture, greatest(embeddings.changed, samples.changed) as changed
    from embeddings join samples using (sample_id)
    qualify row_number() over (partition by brain_key, sample_id, picture order by subject_id) = 1;
