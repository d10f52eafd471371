create table process (
    id text primary key,
    roles text not null,
    services text not null,
    beat bigint not null
);
