-- The probability that a label is wrong, where enough labels are there to tell; NULL elsewhere.
alter table label_issues add column probability double;
