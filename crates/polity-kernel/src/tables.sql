create table hash_key (
    id text primary key,
    sealed bytea not null,
    created_at timestamptz not null
);

create table idempotency (
    key_hash text primary key,
    body_hash text not null,
    status bigint not null,
    answer bytea not null,
    created_at timestamptz not null
);
create index idempotency_created_at on idempotency (created_at);
