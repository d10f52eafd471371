-- What stands behind the tokens of a device: another one since it was suspended, which ended those from before.
alter table device add column session_id text not null default '';
update device set session_id = credential_id;

-- Where a secret is revoked, its tokens end.
create index device_credential on device (credential_id);
