-- What of a family's or team's things is shared among its members. A row is never deleted: its usage outlives it.
create table sharing (
    sharing_id text primary key,
    organization_id text not null references organization (organization_id),
    resource_type text not null,
    resource_id text not null,
    resource_name text null,
    created_by text not null,
    share_with_all_members boolean not null,
    -- Whether who becomes a member later has it too.
    auto_include boolean not null,
    default_permission text not null,
    -- active, paused, expired or revoked; one that has ended may still say active until the job has marked it.
    status text not null,
    -- The window that its quotas count in: daily, weekly, monthly or total.
    quota_period text not null,
    quota_settings jsonb not null,
    restrictions jsonb not null,
    metadata jsonb not null,
    expires_at timestamptz null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    -- Deleted, and not there for anybody; then it is revoked too.
    deleted_at timestamptz null
);
create unique index sharing_once on sharing (organization_id, resource_type, resource_id) where status <> 'revoked';
create index sharing_list on sharing (organization_id, created_at desc, sharing_id) where deleted_at is null;
create index sharing_resource on sharing (resource_id, resource_type) where status <> 'revoked';
create index sharing_expiry on sharing (expires_at) where status in ('active', 'paused');

create table sharing_permission (
    sharing_id text not null references sharing (sharing_id),
    user_id text not null,
    organization_id text not null,
    permission_level text not null,
    -- False: it was taken, or its person left.
    is_active boolean not null,
    -- Null: what the sharing says.
    quota_override bigint null,
    restrictions_override jsonb null,
    granted_by text not null,
    granted_at timestamptz not null,
    last_accessed_at timestamptz null,
    primary key (sharing_id, user_id)
);
create index sharing_permission_person on sharing_permission (organization_id, user_id, granted_at desc, sharing_id);

create table sharing_usage (
    sharing_id text not null references sharing (sharing_id),
    -- Empty: everybody together.
    user_id text not null,
    -- daily, weekly, monthly or total
    period text not null,
    -- When the period began, in seconds since 1970; 0 for total.
    start bigint not null,
    used bigint not null,
    uses bigint not null,
    -- How much might be used in it when it was used last.
    most bigint not null,
    primary key (sharing_id, period, start, user_id)
);
create index sharing_usage_old on sharing_usage (start) where period <> 'total';
