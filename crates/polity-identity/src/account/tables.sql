create table account (
    user_id text primary key,
    email text not null,
    name text not null,
    is_active boolean not null,
    status text not null,
    status_reason text null,
    admin_roles jsonb not null,
    preferences jsonb not null,
    custom_instructions text not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    deleted_at timestamptz null
);
-- Addresses are stored folded, so that this index decides: one address, one person, deleted ones included.
create unique index account_email on account (email);
create index account_created_at on account (created_at desc, user_id);
