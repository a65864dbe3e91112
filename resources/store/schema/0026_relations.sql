-- What two pictures are to each other, and where they show the same; pairs are measured anew by the code that fills it in.
alter table content_pairs add column change double;
alter table content_pairs add column region double[];
alter table content_pairs add column partner_region double[];
alter table content_pairs add column usual_distance double;
alter table content_pairs add column relation varchar;
alter table near_duplicates add column relation varchar;
alter table leaks add column relation varchar;
delete from calibrations where issue = 'near_duplicate';
