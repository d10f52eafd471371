create table integration_grant (
    id text primary key,
    provider text not null,
    owner text not null,
    account text,
    status text not null check (status in ('active', 'expired', 'revoked', 'error')),
    sealed bytea,
    scopes jsonb not null,
    version bigint not null,
    expires_at timestamptz,
    next_refresh_at timestamptz,
    refresh_failures bigint not null,
    last_error text,
    fence bigint not null,
    intent jsonb,
    lease_until timestamptz,
    created_at timestamptz not null,
    erased_at timestamptz
);
create index integration_grant_due on integration_grant (next_refresh_at, id) where status = 'active';
create index integration_grant_erased on integration_grant (erased_at) where erased_at is not null;
create table integration_pending_authorization (
    id text primary key,
    browser text not null,
    sealed bytea not null,
    expires_at timestamptz not null
);
create index integration_pending_authorization_end on integration_pending_authorization (expires_at);
