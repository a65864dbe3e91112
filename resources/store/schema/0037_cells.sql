-- Which contents are compared where all with all would be too much: centres, the cells near each content, and what was missed.
create table cells (
    brain_key varchar not null, cell integer not null, center float[] not null, fitted_to bigint not null, changed bigint not null
);
create table near_cells (brain_key varchar not null, node bigint not null, cells integer[] not null, changed bigint not null);
create table neighbor_recall (
    brain_key varchar primary key, contents bigint not null, cells integer, near integer, sampled integer, recall double not null,
    changed bigint not null
);
insert into keys values ('cells', ['brain_key', 'cell']), ('near_cells', ['brain_key', 'node']);
