-- Counts the passwords a person has had: a sign-in that was proved with one counts only while it is still the one.
alter table identity add column password_version bigint not null default 1;

-- What cleaning up looks for.
create index refresh_token_used on refresh_token (used_at) where successor is not null;
create index refresh_token_expires on refresh_token (expires_at);
create index identity_mail_created on identity_mail (created_at);

-- A person has so many sessions and no more.
create index auth_session_live on auth_session (user_id, created_at desc) where invalidated_at is null;
