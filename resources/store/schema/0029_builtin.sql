-- What a small model that is fitted to the labels says of each sample. A fit, one head per fold, and which content it had in
-- which fold are inputs of the rows: they stand until the fit is made anew.
create table probes (
    brain_key varchar, label_field varchar, fold integer, classes varchar[] not null, mean float[] not null,
    axes float[] not null, weights float[] not null, biases float[] not null, changed bigint not null,
    primary key (brain_key, label_field, fold)
);
create table probe_folds (
    brain_key varchar, label_field varchar, content_hash varchar, label varchar not null, fold integer not null,
    changed bigint not null, primary key (brain_key, label_field, content_hash)
);
create table builtin_predictions (
    brain_key varchar, sample_id varchar, label_field varchar, label varchar not null, confidence double not null,
    logits float[] not null, mark ubigint not null, changed bigint not null,
    primary key (brain_key, sample_id, label_field)
);
drop view class_overlaps;
drop view effective_predictions;
create view effective_predictions as
    select sample_id, label_field, model, labels, confidences, logits, is_probability, predictions.source, predictions.file,
        predictions.changed
    from predictions join prediction_rows using (source, file, model, label_field, key)
    union all
    select sample_id, label_field, 'builtin', [label], [confidence], logits, true, null, null, changed
    from builtin_predictions where brain_key = 'builtin_predictions';
create view class_overlaps as
    select label_field, model, labelled, predicted, speak_alike(labelled, predicted) as comparable
    from (
        select label_field, model, list_sort(list(distinct label)) as predicted from (
            select label_field, model, unnest(labels) as label
            from predictions join prediction_rows using (source, file, model, label_field, key)
            union
            select label_field, model, unnest(classes) from (select distinct label_field, model, source, file from predictions)
            join input_files files using (source, file) where files.role = 'predictions')
        where label is not null group by all)
    join (
        select label_field, list_sort(list(distinct label)) as labelled
        from (select distinct label_field, unnest(labels) as label from ground_truth) where label is not null group by all)
        using (label_field);
alter table label_issues add column by_builtin boolean;
