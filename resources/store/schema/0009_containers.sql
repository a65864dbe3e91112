-- Archives and videos whose members are all known: as long as a mark stands, nothing inside is listed again.
create table containers (filepath varchar primary key, mark varchar not null, changed bigint not null);
