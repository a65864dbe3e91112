-- What files call a sample, beside the label that counts, which may be a reviewer's.
alter table ground_truth add column filed varchar[];
-- By how much the odds of labels being wrong were off, as reviewers found: of a field's doubted labels, those that they judged.
create table label_reviews (
    brain_key varchar, label_field varchar, reviewed bigint not null, wrong bigint not null, expected double not null,
    shift double not null, deviation double not null, changed bigint not null, primary key (brain_key, label_field)
);
