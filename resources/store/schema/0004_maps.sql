create table visualization (
    brain_key varchar, subject_id varchar, x double, y double, z double, changed bigint not null,
    primary key (brain_key, subject_id)
);
-- What a map was last fitted on; a projection also keeps its axes, so that new points can be projected.
create table map_fits (
    brain_key varchar primary key, fitted_on bigint not null, joined bigint not null, trustworthiness double,
    axes float[][], changed bigint not null
);
