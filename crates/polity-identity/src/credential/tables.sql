-- One row per credential, of every kind. Its text is shown once; what is kept is the keyed hash.
create table credential (
    id text primary key,
    kind text not null,
    hash text not null,
    organization_id text not null,
    -- Who acts with it: a person (token), a service account (service), a device (device).
    subject_id text null,
    project_id text null,
    name text not null,
    -- Kind and last characters, to recognise it by.
    preview text not null,
    grant_all boolean not null,
    permissions jsonb not null,
    scopes jsonb not null,
    ip_allowlist jsonb not null,
    -- An object: a member that is null is "no limit", one that is missing is the organization's default.
    rate_limits jsonb not null,
    credits bigint null,
    credit_amount bigint null,
    credit_interval text null,
    -- When the period began, in seconds since 1970, for which the credits were last filled up.
    credit_period bigint null,
    is_enabled boolean not null,
    created_by text not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    expires_at timestamptz null,
    -- A rotated one goes on for a while beside its successor.
    retires_at timestamptz null,
    revoked_at timestamptz null,
    revoked_by text null,
    revoke_reason text null,
    rotated_from_id text null,
    last_used_at timestamptz null,
    last_used_ip text null,
    expiry_told boolean not null
);
create unique index credential_hash on credential (hash);
create index credential_organization on credential (organization_id, kind, created_at desc, id desc);
create index credential_subject on credential (subject_id, organization_id, created_at desc, id desc);
create index credential_expires on credential (expires_at) where revoked_at is null;
create index credential_retires on credential (retires_at) where revoked_at is null;

-- What tokens of integrations can be for.
create table api_scope (
    scope_name text primary key,
    description text null,
    resource_type text not null,
    permission_type text not null,
    is_default boolean not null,
    is_deprecated boolean not null,
    -- Null for those that were there from the beginning.
    created_at timestamptz null,
    updated_at timestamptz null
);

insert into api_scope (scope_name, description, resource_type, permission_type, is_default, is_deprecated) values
    ('read:projects', 'See projects', 'project', 'read', true, false),
    ('write:projects', 'Create and change projects', 'project', 'write', false, false),
    ('delete:projects', 'Delete projects', 'project', 'delete', false, false),
    ('admin:projects', 'Everything about projects', 'project', 'admin', false, false),
    ('read:tasks', 'See tasks', 'task', 'read', true, false),
    ('write:tasks', 'Create and change tasks', 'task', 'write', false, false),
    ('delete:tasks', 'Delete tasks', 'task', 'delete', false, false),
    ('admin:tasks', 'Everything about tasks', 'task', 'admin', false, false),
    ('read:comments', 'See comments', 'comment', 'read', true, false),
    ('write:comments', 'Create and change comments', 'comment', 'write', false, false),
    ('delete:comments', 'Delete comments', 'comment', 'delete', false, false),
    ('admin:comments', 'Everything about comments', 'comment', 'admin', false, false),
    ('read:files', 'See files', 'file', 'read', true, false),
    ('write:files', 'Create and change files', 'file', 'write', false, false),
    ('delete:files', 'Delete files', 'file', 'delete', false, false),
    ('admin:files', 'Everything about files', 'file', 'admin', false, false),
    ('read:workspaces', 'See workspaces', 'workspace', 'read', true, false),
    ('write:workspaces', 'Create and change workspaces', 'workspace', 'write', false, false),
    ('delete:workspaces', 'Delete workspaces', 'workspace', 'delete', false, false),
    ('admin:workspaces', 'Everything about workspaces', 'workspace', 'admin', false, false),
    ('read:*', 'See all there is', '*', 'read', false, false),
    ('write:*', 'Create and change all there is', '*', 'write', false, false),
    ('delete:*', 'Delete all there is', '*', 'delete', false, false),
    ('admin:*', 'Everything about all there is', '*', 'admin', false, false),
    ('*', 'Everything', '*', 'admin', false, false);

-- Uses, added up per minute, hour and day ('start' in seconds since 1970). credential_id '' is the whole organization.
create table credential_usage (
    organization_id text not null,
    credential_id text not null,
    grain text not null,
    start bigint not null,
    requests bigint not null,
    tokens bigint not null,
    refused bigint not null,
    primary key (organization_id, credential_id, grain, start)
) {{clustered}};
create index credential_usage_start on credential_usage (grain, start);

-- What credentials were used for: one row per minute and kind of request.
create table usage_log (
    id text primary key,
    organization_id text not null,
    credential_id text not null,
    minute bigint not null,
    method text not null,
    endpoint text not null,
    status_code bigint not null,
    requests bigint not null,
    milliseconds bigint not null,
    ip text not null,
    user_agent text not null
);
create unique index usage_log_row on usage_log (credential_id, minute, method, endpoint, status_code);
create index usage_log_organization on usage_log (organization_id, minute desc, id desc);
create index usage_log_minute on usage_log (minute);

-- Quotas of which it was told that they are nearly, or all, used.
create table usage_threshold (
    scope_id text not null,
    field text not null,
    start bigint not null,
    percent bigint not null,
    primary key (scope_id, field, start, percent)
) {{clustered}};
create index usage_threshold_start on usage_threshold (start);
