-- The prediction that a label's place is compared with; it need not overlap enough to match.
alter table object_mistakenness add column placed_by varchar;
