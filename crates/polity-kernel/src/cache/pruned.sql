-- The highest place in the sequence that was deleted: who has not read so far has missed something.
create table invalidation_pruned (
    seq bigint not null
);
insert into invalidation_pruned (seq) values (0);
