create table oauth_app (
    id text primary key,
    name text not null,
    -- The entry of the catalogue.
    provider text not null,
    display_name text not null,
    description text null,
    version text not null,
    client_id text not null,
    client_secret bytea null,
    -- Where the provider sends browsers back to, if not to us.
    redirect_uri text null,
    required_scopes jsonb not null,
    is_enabled boolean not null,
    is_deprecated boolean not null,
    icon_url text null,
    documentation_url text null,
    created_at timestamptz not null,
    updated_at timestamptz not null
);
create unique index oauth_app_name on oauth_app (name);

create table oauth_connection (
    -- Also the id of its grant.
    id text primary key,
    user_id text not null,
    workspace_id text not null,
    oauth_app_id text not null,
    status text not null,
    is_sync_enabled boolean not null,
    is_shared boolean not null,
    requested_scopes jsonb not null,
    granted_scopes jsonb not null,
    missing_scopes jsonb not null,
    -- Empty as long as it is not known.
    external_user_id text not null,
    external_user_email text null,
    external_user_data bytea null,
    token_expires_at timestamptz null,
    refresh_failures bigint not null,
    error text null,
    last_verified_at timestamptz null,
    -- A sign-in that waits for its browser.
    return_to text null,
    opener text null,
    ticket_hash text null,
    is_opened boolean not null,
    state_hash text null,
    waits_until timestamptz null,
    replaced_by text null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    ended_at timestamptz null
);
create unique index oauth_connection_account on oauth_connection (user_id, oauth_app_id, workspace_id, external_user_id)
    where status not in ('pending', 'revoked') and external_user_id <> '';
create index oauth_connection_person on oauth_connection (user_id, workspace_id, created_at desc, id desc);
create index oauth_connection_workspace on oauth_connection (workspace_id, created_at desc, id desc);
create index oauth_connection_app on oauth_connection (oauth_app_id, external_user_id) where status not in ('pending', 'revoked');
create unique index oauth_connection_state on oauth_connection (state_hash) where state_hash is not null;
create unique index oauth_connection_ticket on oauth_connection (ticket_hash) where ticket_hash is not null;
create index oauth_connection_waits on oauth_connection (waits_until) where waits_until is not null;
create index oauth_connection_ended on oauth_connection (ended_at) where ended_at is not null;

-- Tokens that are not used any more, and that the provider is still to be told of.
create table oauth_take_back (
    -- What its seal is bound to.
    id text primary key,
    oauth_app_id text not null,
    provider text not null,
    sealed bytea not null,
    created_at timestamptz not null
);
create index oauth_take_back_created on oauth_take_back (created_at);

-- Who used the token of a connection, by second.
create table oauth_connection_use (
    connection_id text not null,
    caller text not null,
    purpose text not null,
    second timestamptz not null,
    uses bigint not null,
    primary key (connection_id, second, caller, purpose)
);
create index oauth_connection_use_second on oauth_connection_use (second);
