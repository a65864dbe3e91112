-- Contents that say where the body of a dataset is, chosen rarely and then frozen: an input of what outliers are measured by.
create table outlier_references (
    brain_key varchar, input_key varchar, vector float[] not null, changed bigint not null, primary key (brain_key, input_key)
);
-- Cuts were fitted to other distances.
delete from calibrations where issue = 'outlier';
