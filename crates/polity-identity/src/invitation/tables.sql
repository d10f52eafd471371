create table invitation (
    invitation_id text primary key,
    organization_id text not null,
    email text not null,
    role text not null,
    status text not null,
    -- Why it was cancelled.
    reason text null,
    invited_by text not null,
    token_hash text not null,
    -- The token, to be mailed again; gone when the invitation is no longer pending.
    token bytea null,
    message text null,
    organization_name text not null,
    organization_domain text null,
    inviter_name text null,
    inviter_email text null,
    sent_count bigint not null,
    last_sent_at timestamptz not null,
    expires_at timestamptz not null,
    accepted_at timestamptz null,
    accepted_by text null,
    created_at timestamptz not null,
    updated_at timestamptz not null
);
create unique index invitation_token on invitation (token_hash);
create unique index invitation_live on invitation (organization_id, email) where status = 'pending';
create index invitation_organization on invitation (organization_id, created_at desc, invitation_id desc);
create index invitation_inviter on invitation (invited_by) where status = 'pending';
create index invitation_email on invitation (email) where status = 'pending';
create index invitation_expires on invitation (expires_at) where status = 'pending';
