-- Raw distances; what depends on a calibration or on the largest of all is derived when publishing.
create table outliers (
    brain_key varchar, subject_id varchar, raw double, changed bigint not null, primary key (brain_key, subject_id)
);

-- Centres are fitted rarely and then frozen: an input of the rows that are assigned to them.
create table cluster_centers (
    brain_key varchar, cluster integer, center float[] not null, fitted_on bigint not null, changed bigint not null,
    primary key (brain_key, cluster)
);
create table representativeness (
    brain_key varchar, subject_id varchar, cluster integer not null, raw double, changed bigint not null,
    primary key (brain_key, subject_id)
);

create table selections (
    brain_key varchar, rank integer, subject_id varchar not null, gain double not null, changed bigint not null,
    primary key (brain_key, rank)
);
