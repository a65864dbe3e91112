-- What a sample belongs to beside its class, as NAME=VALUE: a patient, a site, a session.
alter table samples add column "groups" varchar[] default [];
-- Of two that belong together the distance is not known, nor need it be.
alter table leaks alter column distance drop not null;
alter table leaks add column shared varchar;
create or replace view sample_facts as
    select samples.*, width, height, format, mode, frames, taken_at, status from samples left join media using (content_hash);
