-- What failed for a reason outside of the file is tried again: how often it was tried, and when it is due; a verdict on the
-- file itself has neither, and what is given up only the former.
alter table media add column attempts integer;
alter table media add column retry_at timestamptz;
