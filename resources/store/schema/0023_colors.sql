-- By which rules a picture's colours were made; NULL for the first. Transparent and deep pictures of older rules are decoded
-- again; what was made of their pixels is forgotten here, so that those who keep it make it again, as for a new picture.
alter table media add column colors integer;
create temporary table outdated as
    select content_hash as picture from media
    where transparency > 0 or bits > 8 or mode in ('I', 'F') or starts_with(mode, 'I;16')
    union all select input_key from crops semi join media using (content_hash)
    where content_hash in (select content_hash from media
        where transparency > 0 or bits > 8 or mode in ('I', 'F') or starts_with(mode, 'I;16'));
delete from content_pairs where first_content in (from outdated) or second_content in (from outdated);
delete from embeddings where input_key in (from outdated);
delete from seen where asset = 'representativeness' and exists (from outdated);
delete from vectors where input_key in (from outdated);
delete from crops where input_key in (from outdated);
drop table outdated;
