# The schema changes under live queries.
write create table t (id integer primary key, v)
write insert into t values (1, 'x')
live all: select * from t
    all rows ["id","v"] ordered=false
    all = 1 [1,"x"]
live one: select v from t
    one rows ["v"] ordered=false
    one = wRP-r4dZoWIMpOai7GfMrA ["x"]
write alter table t add column extra default 7
    all resync
    all rows ["id","v","extra"] ordered=false
    all = 1 [1,"x",7]
write create index by_v on t (v)
write alter table t rename column v to value
    all resync
    one invalid: no such column: v
    all rows ["id","value","extra"] ordered=false
    all = 1 [1,"x",7]
write drop table t
    all invalid: no such table: t
