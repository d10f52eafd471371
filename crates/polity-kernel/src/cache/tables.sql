-- What processes remember and should not any more. Every process reads new rows a few times a second.
create table invalidation (
    seq {{identity}},
    kind text not null,
    subject text not null,
    at timestamptz not null
);
create index invalidation_at on invalidation (at);
