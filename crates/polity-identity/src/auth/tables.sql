create table identity (
    user_id text primary key,
    email text not null,
    name text not null,
    password_hash text null,
    is_active boolean not null,
    email_verified boolean not null,
    last_login timestamptz null,
    created_at timestamptz not null,
    updated_at timestamptz not null
);
create unique index identity_email on identity (email);

-- Wrong passwords in a row, by the keyed hash of an address, known or not: so that neither the answer nor the work tells
-- whether somebody has it.
create table login_failure (
    subject text primary key,
    failures bigint not null,
    locked_until timestamptz null,
    at timestamptz not null
);
create index login_failure_at on login_failure (at);

-- One live registration per address: a new one replaces the old. 'known' ones only pretend: the address has an identity.
create table pending_registration (
    id text primary key,
    email text not null,
    name text not null,
    password_hash text not null,
    code_hash text not null,
    known boolean not null,
    attempts bigint not null,
    resends bigint not null,
    expires_at timestamptz not null,
    -- Only in development, where a client may ask for the code.
    dev_code bytea null
);
create unique index pending_registration_email on pending_registration (email);
create index pending_registration_expires on pending_registration (expires_at);

create table auth_session (
    id text primary key,
    user_id text not null,
    scope text not null,
    provider text not null,
    organization_id text null,
    permissions jsonb not null,
    metadata jsonb not null,
    ip text not null,
    user_agent text not null,
    created_at timestamptz not null,
    last_activity timestamptz not null,
    expires_at timestamptz not null,
    invalidated_at timestamptz null,
    reason text null
);
create index auth_session_user on auth_session (user_id, created_at desc);
create index auth_session_expires on auth_session (expires_at);

create table refresh_token (
    hash text primary key,
    session_id text not null references auth_session (id) on delete cascade,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    used_at timestamptz null,
    -- The token that replaced it, for the grace of concurrent refreshes.
    successor bytea null
);
create index refresh_token_session on refresh_token (session_id);

-- Sessions that ended before their access tokens did. Every process reads new rows a few times a second.
create table revocation (
    seq {{identity}},
    session_id text not null unique,
    expires_at timestamptz not null
);
create index revocation_expires on revocation (expires_at);

create table signing_key (
    kid text primary key,
    sealed bytea not null,
    public_key bytea not null,
    created_at timestamptz not null,
    replaced_at timestamptz null
);

create table password_reset (
    hash text primary key,
    user_id text not null,
    expires_at timestamptz not null
);
create index password_reset_user on password_reset (user_id);

-- The one-time link that makes the first administrator.
create table setup_token (
    id bigint primary key,
    hash text not null,
    expires_at timestamptz not null
);

create table identity_mail (
    id text primary key,
    sealed bytea not null,
    created_at timestamptz not null
);
