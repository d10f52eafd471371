create table consent (
    id text primary key,
    user_id text not null,
    workspace_id text not null,
    purpose text not null,
    subject_kind text not null,
    entity_type text not null,
    -- Empty: all of that type.
    entity_id text not null,
    description text not null,
    requested_permissions jsonb not null,
    granted_permissions jsonb not null,
    status text not null,
    is_active boolean not null,
    granted_at timestamptz not null,
    revoked_at timestamptz null,
    expires_at timestamptz null,
    superseded_at timestamptz null,
    grace_ends_at timestamptz null,
    ended_at timestamptz null,
    end_reason text null,
    replaced_by text null,
    ip_address text null,
    user_agent text null,
    locale text null,
    text_hash text not null,
    policy_version bigint not null,
    updated_at timestamptz not null
);
-- What has ended stands in nobody's way: one may grant, revoke, and grant again.
create unique index consent_active on consent (user_id, workspace_id, purpose, subject_kind, entity_type, entity_id)
    where is_active;
create index consent_list on consent (user_id, granted_at desc, id desc);
create index consent_workspace on consent (workspace_id, user_id) where is_active;
create index consent_expiry on consent (expires_at, user_id) where is_active;
create index consent_grace on consent (grace_ends_at, user_id) where is_active;
create index consent_policy on consent (policy_version, user_id) where is_active and status = 'granted';
create index consent_ended on consent (ended_at) where ended_at is not null;

-- Who is behind a chain. Deleted with the person: what is left then leads nowhere.
create table consent_person (
    user_id text primary key,
    chain_id text not null unique,
    seal text not null
);

-- Where a chain begins and ends, under a seal.
create table consent_chain (
    chain_id text primary key,
    -- The last entry that was deleted because it was old enough; 0 and an empty hash at first.
    base_sequence bigint not null,
    base_hash text not null,
    head_sequence bigint not null,
    head_hash text not null,
    is_pseudonymous boolean not null,
    seal text not null,
    checked_at timestamptz not null,
    -- Where it was found broken.
    broken_sequence bigint null,
    problem text null
);
create index consent_chain_checked on consent_chain (checked_at, chain_id);
create index consent_chain_broken on consent_chain (chain_id) where broken_sequence is not null;

-- Nothing is ever changed here, and nothing deleted before its time.
create table consent_audit (
    chain_id text not null,
    sequence bigint not null,
    consent_id text null,
    at timestamptz not null,
    -- What was hashed, as it was hashed.
    body text not null,
    previous_hash text not null,
    hash text not null,
    primary key (chain_id, sequence)
);
create index consent_audit_consent on consent_audit (chain_id, consent_id, sequence);
create index consent_audit_at on consent_audit (at, chain_id);

-- From where, with what and by whom: personal, apart, and held in the chain by its hash alone.
create table consent_audit_person (
    chain_id text not null,
    sequence bigint not null,
    body text not null,
    primary key (chain_id, sequence)
);
