-- What files of labels and predictions hold: every row of every file, by the key that names its sample. What counts is
-- derived from them, so that changing or deleting a file undoes it exactly.
create table input_files (
    role varchar, source integer, file varchar, bytes bigint not null, modified_ns bigint not null,
    touched_ns bigint not null, classes varchar[], rows_read bigint not null, changed bigint not null, primary key (role, source, file)
);
create table rejected_rows (
    role varchar, source integer, file varchar, line bigint, reason varchar, detail varchar, changed bigint not null,
    primary key (role, source, file, line, reason)
);
create view sample_keys as
    select sample_id, nfc_normalize(filepath) as key from samples
    union all select sample_id, uri from samples
    union all select sample_id, sample_id from samples;

create table label_rows (
    source integer, file varchar, label_field varchar, key varchar, line bigint not null, labels varchar[] not null,
    multilabel boolean not null, changed bigint not null, primary key (source, file, label_field, key)
);
create table ground_truth (
    sample_id varchar, label_field varchar, labels varchar[] not null, multilabel boolean not null, origin varchar not null,
    changed bigint not null, primary key (sample_id, label_field)
);

create table prediction_rows (
    source integer, file varchar, model varchar, label_field varchar, key varchar, line bigint not null,
    labels varchar[] not null, confidences double[] not null, logits float[], is_probability boolean not null,
    created_at timestamp, digest ubigint not null, changed bigint not null,
    primary key (source, file, model, label_field, key)
);
-- Which row of which file counts for a sample; its digest changes with what the row says.
create table predictions (
    sample_id varchar, label_field varchar, model varchar, source integer not null, file varchar not null,
    key varchar not null, digest ubigint not null, changed bigint not null, primary key (sample_id, label_field, model)
);
create view effective_predictions as
    select sample_id, label_field, model, labels, confidences, logits, is_probability, predictions.source, predictions.file,
        predictions.changed
    from predictions join prediction_rows using (source, file, model, label_field, key);

create table hardness (
    sample_id varchar, label_field varchar, model varchar, hardness double, changed bigint not null,
    primary key (sample_id, label_field, model)
);
create table mistakenness (
    sample_id varchar, label_field varchar, model varchar, labelled boolean not null, mistakenness double,
    changed bigint not null,
    primary key (sample_id, label_field, model)
);
