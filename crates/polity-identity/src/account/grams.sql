-- The trigrams of search_text again, in one tree instead of three: they are most of what an account writes. What is no
-- longer a gram of somebody is found by what their text was.
alter table account_gram rename to account_gram_before;
drop index account_gram_user;
create table account_gram (
    gram text not null,
    user_id text not null,
    constraint account_gram_key primary key (gram, user_id)
) {{clustered}};
insert into account_gram (gram, user_id) select gram, user_id from account_gram_before order by gram, user_id;
drop table account_gram_before;
