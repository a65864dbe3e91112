-- Tables that may hold many rows for each image have no index, which would have to fit into memory as a whole when rows
-- are committed; `merge` sees to it that a key stands once.
create table keys (table_name varchar primary key, columns varchar[] not null);
insert into keys values
    ('content_pairs', ['brain_key', 'first_content', 'second_content']),
    ('leaks', ['brain_key', 'sample_id', 'partner_id', 'split', 'partner_split']),
    ('graph', ['brain_key', 'node']),
    ('neighbors', ['brain_key', 'subject_id']);

create table unindexed_content_pairs (
    brain_key varchar not null, first_content varchar not null, second_content varchar not null,
    embedding_distance double not null, hamming integer not null, verification double, distance double not null,
    changed bigint not null
);
insert into unindexed_content_pairs by name from content_pairs;
drop table content_pairs;
alter table unindexed_content_pairs rename to content_pairs;

create table unindexed_leaks (
    brain_key varchar not null, sample_id varchar not null, partner_id varchar not null, split varchar not null,
    partner_split varchar not null, distance double not null, kind varchar not null, changed bigint not null
);
insert into unindexed_leaks by name from leaks;
drop table leaks;
alter table unindexed_leaks rename to leaks;

create table unindexed_graph (
    brain_key varchar not null, node bigint not null, neighbors bigint[] not null, distances float[] not null,
    valid smallint not null, changed bigint not null
);
insert into unindexed_graph by name from graph;
drop table graph;
alter table unindexed_graph rename to graph;

create table unindexed_neighbors (
    brain_key varchar not null, subject_id varchar not null, neighbor_ids varchar[] not null, distances float[] not null,
    changed bigint not null
);
insert into unindexed_neighbors by name from neighbors;
drop table neighbors;
alter table unindexed_neighbors rename to neighbors;
