-- What speaks for and against each label; `inputs` is a digest of all that the row was judged by.
create table label_issues (
    brain_key varchar, sample_id varchar, label_field varchar, model varchar, given varchar, suggested varchar,
    score double, is_issue boolean not null, given_probability double, suggested_probability double, threshold double,
    by_predictions boolean, by_neighbors boolean, neighbors_labelled integer not null, neighbors_suggested integer not null,
    partner varchar, inputs ubigint not null, changed bigint not null, primary key (brain_key, sample_id, label_field)
);
