-- What names the content of an asset's tables at a change number, so that they are looked at again only when they changed.
create table data_versions (asset varchar primary key, number bigint not null, version varchar not null);
