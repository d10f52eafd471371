-- What people were given. What was taken, or has ended and was cleaned up, is in the audit alone.
create table permission (
    id text primary key,
    user_id text not null,
    resource_type text not null,
    resource_name text not null,
    -- Levels, tiers and plans are kept as their place in the order, so that they can be compared:
    -- 0 none, 1 read_only, 2 read_write, 3 admin, 4 owner.
    access_level bigint not null,
    permission_source text not null,
    -- The organization in which it counts; empty: everywhere.
    organization_id text not null,
    granted_by_user_id text not null,
    expires_at timestamptz null,
    reason text null,
    created_at timestamptz not null,
    updated_at timestamptz not null
);
-- One for each source and organization; and what a check reads.
create unique index permission_of
    on permission (user_id, resource_type, resource_name, permission_source, organization_id);
-- A page of what somebody may use at a level reads no further than the page.
create index permission_level on permission (user_id, resource_type, access_level, resource_name);
create index permission_holders on permission (resource_type, resource_name, user_id);
create index permission_organization on permission (organization_id, user_id) where organization_id <> '';
create index permission_expiry on permission (expires_at) where expires_at is not null;

-- What the members of an organization may use.
create table organization_permission (
    organization_id text not null,
    resource_type text not null,
    resource_name text not null,
    access_level bigint not null,
    -- 0 startup, 1 growth, 2 enterprise, 3 custom.
    org_plan_required bigint not null,
    is_enabled boolean not null,
    created_by_user_id text not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (organization_id, resource_type, resource_name)
);
create index organization_permission_holders on organization_permission (resource_type, resource_name, organization_id);

-- What everybody may use who pays for it.
create table resource_permission (
    resource_type text not null,
    resource_name text not null,
    resource_category text not null,
    description text null,
    -- 0 free, 1 pro, 2 enterprise, 3 custom.
    subscription_tier_required bigint not null,
    access_level bigint not null,
    is_enabled boolean not null,
    primary key (resource_type, resource_name)
);
insert into resource_permission
    (resource_type, resource_name, resource_category, description, subscription_tier_required, access_level, is_enabled)
values
    ('mcp_tool', 'weather_api', 'utilities', null, 0, 1, true),
    ('prompt', 'basic_assistant', 'assistance', null, 0, 1, true),
    ('mcp_tool', 'image_generator', 'ai_tools', null, 1, 2, true),
    ('ai_model', 'advanced_llm', 'ai_models', null, 1, 2, true),
    ('database', 'analytics_db', 'data', null, 2, 2, true),
    ('api_endpoint', 'admin_api', 'admin', null, 2, 3, true);

-- Entries are added, and deleted when they are older than they are kept.
create table permission_audit (
    id text primary key,
    user_id text not null,
    resource_type text not null,
    resource_name text not null,
    action text not null,
    old_access_level text null,
    new_access_level text null,
    performed_by_user_id text not null,
    reason text null,
    success boolean not null,
    error_message text null,
    created_at timestamptz not null
);
create index permission_audit_all on permission_audit (created_at desc, id desc);
create index permission_audit_user on permission_audit (user_id, created_at desc, id desc);
create index permission_audit_resource on permission_audit (resource_type, resource_name, created_at desc, id desc);

-- When somebody's access was last checked, to the minute.
create table permission_check (
    user_id text primary key,
    checked_at timestamptz not null
);
