-- What members are searched by, in small letters of every alphabet, which only the program knows; null until it has written it.
alter table membership add column search text null;
create index membership_unsearched on membership (organization_id, user_id) where search is null;
