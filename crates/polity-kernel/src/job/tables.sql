create table job (
    id text primary key,
    kind text not null,
    key text null,
    payload jsonb not null,
    state text not null,
    run_at timestamptz not null,
    attempts bigint not null,
    max_attempts bigint not null,
    lease_until timestamptz null,
    fence bigint not null,
    progress jsonb null,
    cancel_requested boolean not null,
    error text null,
    created_at timestamptz not null,
    finished_at timestamptz null
);
create unique index job_key on job (kind, key) where key is not null and state in ('queued', 'running');
create index job_due on job (run_at) where state = 'queued';
create index job_lease on job (lease_until) where state = 'running';
create index job_finished on job (finished_at) where finished_at is not null;

create table cron (
    name text primary key,
    last_tick timestamptz not null
);
