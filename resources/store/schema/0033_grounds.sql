-- What of a picture is even ground or blank bands, and what stands on it; every content is measured again.
alter table quality_statistics add column blank_share double;
alter table quality_statistics add column ground_share double;
alter table quality_statistics add column subject_brightness double;
alter table quality_statistics add column subject_brightness_5 double;
alter table quality_statistics add column subject_clipped_share double;
alter table quality_statistics add column subject_entropy double;
-- Thresholds of smaller sets are fitted, too, and those of brightness to what stands on a ground.
delete from calibrations where brain_key = 'image_quality';
