create table consent (
    id text primary key,
    owner_id text not null,
    name text not null,
    created_at timestamptz not null
);
create index consent_owner on consent (owner_id, created_at desc, id desc);
