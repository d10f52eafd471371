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
    search_text text not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    deleted_at timestamptz null,
    erase_at timestamptz null,
    last_seen_at timestamptz null
);
-- Addresses are stored folded, so that this index decides: one address, one person, deleted ones included.
create unique index account_email on account (email);
create index account_created_at on account (created_at desc, user_id);
create index account_erase_at on account (erase_at) where erase_at is not null;

-- The trigrams of search_text, so that a substring is found without reading every account.
create table account_gram (
    gram text not null,
    user_id text not null references account (user_id) on delete cascade,
    primary key (gram, user_id)
);
create index account_gram_user on account_gram (user_id);

create table account_status_change (
    id text primary key,
    user_id text not null references account (user_id) on delete cascade,
    is_active boolean not null,
    status text not null,
    reason text null,
    changed_by text not null,
    changed_at timestamptz not null
);
create index account_status_change_user on account_status_change (user_id, changed_at desc);

create table account_note (
    note_id text primary key,
    user_id text not null references account (user_id) on delete cascade,
    author_id text not null,
    note text not null,
    created_at timestamptz not null
);
create index account_note_user on account_note (user_id, created_at desc);

-- A new address that waits to be confirmed; one per person.
create table account_email_change (
    user_id text primary key references account (user_id) on delete cascade,
    email text not null,
    code_hash text not null,
    attempts bigint not null,
    expires_at timestamptz not null
);
