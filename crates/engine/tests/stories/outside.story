# Another program writes to the file: seen at a revision of its own.
write create table t (id integer primary key, v)
live a: select id, v from t order by id
    a rows ["id","v"] ordered=true
outside insert into t values (1, 'outside')
    a + 1 [1,"outside"] @0
outside alter table t add column c
write insert into t values (2, 'inside', 0)
    a + 2 [2,"inside"] @1
