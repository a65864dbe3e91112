-- Bookkeeping. Every write transaction that changes rows takes the next change number and stamps its rows with it.
create table changes (
    number bigint primary key, run_id varchar not null, asset varchar not null, rows_written bigint not null,
    written_at timestamptz not null
);
create table versions (table_name varchar primary key, number bigint not null);
create table watermarks (
    asset varchar, brain_key varchar, fingerprint varchar not null, number bigint not null,
    primary key (asset, brain_key)
);
create table facts (name varchar primary key, value varchar not null, changed bigint not null);
insert into facts select 'store_id', to_json(uuid()::varchar), 0;
create table runs (
    run_id varchar, brain_key varchar, method varchar not null, config varchar not null, state varchar not null,
    error varchar, started_at timestamptz not null, finished_at timestamptz, code_version varchar not null,
    model_version varchar, rows_changed bigint, primary key (run_id, brain_key)
);

-- What the source holds. `files` keeps the file system's view apart from `samples`, so that a touched file whose
-- content is the same wakes nothing.
create table files (
    sample_id varchar primary key, bytes bigint not null, modified_ns bigint not null, touched_ns bigint not null,
    changed bigint not null
);
create sequence ordinals start 0 minvalue 0;
create table samples (
    sample_id varchar primary key, filepath varchar not null, uri varchar not null, content_hash varchar,
    bytes bigint not null, error varchar, split varchar, tags varchar[] not null, modified_at timestamptz,
    added_at timestamptz not null, changed_at timestamptz not null, ordinal bigint not null, changed bigint not null
);

-- What one decode pass found, keyed by content, so that a moved file is never decoded again.
create table media (
    content_hash varchar primary key, status varchar not null, error varchar, width integer, height integer,
    format varchar, mode varchar, channels integer, bits integer, frames integer, animated boolean, orientation integer,
    taken_at timestamp, transparency double, drafted boolean, signature varchar, phash ubigint, phash_mirrored ubigint,
    preview_offset bigint, preview_length integer, changed bigint not null
);
create table pixel_hashes (content_hash varchar primary key, pixel_hash varchar, changed bigint not null);
create view readable as
    select sample_id, content_hash, ordinal, greatest(samples.changed, media.changed) as changed
    from samples join media using (content_hash) where media.status = 'ok' and samples.error is null;

-- What a `where` of a run may ask of a sample.
create view sample_facts as
    select samples.*, width, height, format, mode, frames, taken_at, status from samples left join media using (content_hash);

create table exact_duplicates (
    sample_id varchar primary key, group_id varchar not null, kind varchar, keep boolean not null,
    reason varchar not null, changed bigint not null
);

-- Vectors are keyed by what was embedded; `node` names a vector in the graph.
create sequence nodes start 0 minvalue 0;
create table vectors (
    model_version varchar, input_key varchar, node bigint not null default nextval('nodes'), vector float[],
    error varchar, changed bigint not null, primary key (model_version, input_key)
);
create table embeddings (
    brain_key varchar, subject_id varchar, sample_id varchar not null, object_id varchar, model_version varchar not null,
    input_key varchar not null, changed bigint not null, primary key (brain_key, subject_id)
);
create table graph (
    brain_key varchar, node bigint, neighbors bigint[] not null, distances float[] not null, valid smallint not null,
    changed bigint not null, primary key (brain_key, node)
);
create table neighbors (
    brain_key varchar, subject_id varchar, neighbor_ids varchar[] not null, distances float[] not null,
    changed bigint not null, primary key (brain_key, subject_id)
);
create table uniqueness (
    brain_key varchar, subject_id varchar, raw double, changed bigint not null, primary key (brain_key, subject_id)
);

create table issues (
    subject_id varchar, issue varchar, source varchar, sample_id varchar not null, object_id varchar,
    score double not null, is_issue boolean not null, evidence varchar not null, changed bigint not null,
    primary key (subject_id, issue, source)
);
create table calibrations (
    calibration_id varchar primary key, brain_key varchar not null, issue varchar not null, value double not null,
    evidence varchar not null, calibrated_at timestamptz not null, changed bigint not null
);
create table health (
    run_id varchar, metric varchar, value double, measured_at timestamptz not null, changed bigint not null,
    primary key (run_id, metric)
);
