-- Some of the vectors that a fit rests on, so that it is seen when most of them have gone or become others.
alter table calibrations add column fitted_to varchar[];
alter table cluster_centers add column fitted_to varchar[];
-- Centres of which that is not known are fitted anew.
delete from cluster_centers;
