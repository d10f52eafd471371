create table lease (
    name text primary key,
    owner text not null,
    until timestamptz not null
);

create table event (
    seq {{identity}},
    position bigint null,
    id text not null unique,
    type text not null,
    source text not null,
    key text not null,
    data jsonb not null,
    metadata jsonb not null,
    time timestamptz not null
);
create unique index event_position on event (position);
create index event_unstamped on event (seq) where position is null;
create index event_type on event (type, position);

create table event_counter (
    id bigint primary key,
    last bigint not null
);
insert into event_counter (id, last) values (1, 0);

create table event_consumer (
    name text primary key,
    position bigint not null
);

-- What a consumer could not take yet, and what waits behind it; or could not take at all (state 'dead').
create table event_backlog (
    consumer text not null,
    position bigint not null,
    key text not null,
    state text not null,
    attempts bigint not null,
    next_at timestamptz not null,
    error text null,
    primary key (consumer, position)
);
create index event_backlog_due on event_backlog (consumer, state, next_at);
create index event_backlog_key on event_backlog (consumer, key, position);
