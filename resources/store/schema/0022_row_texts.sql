-- What stood in a row that was rejected, where files have lines.
alter table rejected_rows add column row_text varchar;
