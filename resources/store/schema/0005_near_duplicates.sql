-- Pairs of distinct contents that were looked at, with what was measured; a new threshold is a filter over them.
create table content_pairs (
    brain_key varchar, first_content varchar, second_content varchar, embedding_distance double not null,
    hamming integer not null, verification double, distance double not null, changed bigint not null,
    primary key (brain_key, first_content, second_content)
);
create table near_duplicates (
    brain_key varchar, subject_id varchar, group_id varchar not null, nearest_id varchar not null,
    distance double not null, keep boolean not null, reason varchar not null, changed bigint not null,
    primary key (brain_key, subject_id)
);
create table components (
    brain_key varchar, subject_id varchar, component_id varchar not null, size integer not null,
    threshold double not null, changed bigint not null, primary key (brain_key, subject_id)
);
create table leaks (
    brain_key varchar, sample_id varchar, partner_id varchar, split varchar, partner_split varchar,
    distance double not null, kind varchar not null, changed bigint not null,
    primary key (brain_key, sample_id, partner_id, split, partner_split)
);
