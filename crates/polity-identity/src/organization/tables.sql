create table organization (
    organization_id text primary key,
    name text not null,
    -- What administrators search in: name, domain and billing address in small letters.
    search text not null,
    domain text null,
    billing_email text not null,
    plan text not null,
    status text not null,
    -- business, family, team or enterprise; null: nothing was said. Never changes.
    kind text null,
    details jsonb not null,
    settings jsonb not null,
    security jsonb not null,
    -- Null: nobody set any.
    rate_limits jsonb null,
    -- Why it was suspended, or what somebody should look at.
    flag text null,
    member_count bigint not null,
    created_by text not null,
    created_at timestamptz not null,
    updated_at timestamptz not null
);
create index organization_created on organization (created_at desc, organization_id);

create table membership (
    organization_id text not null references organization (organization_id),
    user_id text not null,
    role text not null,
    status text not null,
    permissions jsonb not null,
    department text null,
    title text null,
    is_founder boolean not null,
    joined_at timestamptz not null,
    last_active_at timestamptz null,
    updated_at timestamptz not null,
    primary key (organization_id, user_id)
);
create index membership_user on membership (user_id, status);
create index membership_list on membership (organization_id, status, joined_at, user_id);

-- In which organization a person acts; no row: as themselves.
create table organization_context (
    user_id text primary key,
    organization_id text not null,
    updated_at timestamptz not null
);
create index organization_context_organization on organization_context (organization_id);

create table organization_audit (
    id text primary key,
    organization_id text not null,
    actor_id text not null,
    action text not null,
    target_id text null,
    data jsonb not null,
    created_at timestamptz not null
);
create index organization_audit_list on organization_audit (organization_id, created_at desc, id desc);
