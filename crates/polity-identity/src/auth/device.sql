-- Devices: the ids are their makers'. The secret is a credential.
create table device (
    device_id text primary key,
    organization_id text not null,
    credential_id text not null,
    device_name text null,
    device_type text null,
    status text not null,
    metadata jsonb not null,
    paired_user_id text null,
    paired_at timestamptz null,
    last_authenticated_at timestamptz null,
    authentication_count bigint not null,
    expires_at timestamptz null,
    created_by text not null,
    created_at timestamptz not null,
    updated_at timestamptz not null
);
create index device_organization on device (organization_id, created_at desc, device_id);

-- Every attempt to authenticate, whether there is such a device or not.
create table device_log (
    id text primary key,
    device_id text not null,
    auth_status text not null,
    ip text not null,
    user_agent text not null,
    error text null,
    created_at timestamptz not null
);
create index device_log_device on device_log (device_id, created_at desc, id);
create index device_log_created on device_log (created_at);

create table pairing_token (
    hash text primary key,
    device_id text not null,
    expires_at timestamptz not null,
    used_at timestamptz null,
    user_id text null
);
create index pairing_token_device on pairing_token (device_id);
create index pairing_token_expires on pairing_token (expires_at);
