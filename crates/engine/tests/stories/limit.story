# A row that falls out of the first three is told as deleted, the one that takes its place as inserted.
write create table t (id integer primary key, v int)
write insert into t values (1, 1), (2, 2), (3, 3), (4, 4)
live a: select id, v from t order by v limit 3
    a rows ["id","v"] ordered=true
    a = 1 [1,1]
    a = 2 [2,2]
    a = 3 [3,3]
live b: select v from t order by v desc limit 1 offset 1
    b rows ["v"] ordered=true
    b = RY8qRUAs_KKPss0IdD__Yw [3]
write insert into t values (5, 0)
    a - 3
    a + 5 [5,0] @0
write delete from t where id = 5
    a - 5
    a + 3 [3,3] @2
write update t set v = 2.5 where id = 1
    a ~ 1 [1,2.5]
    a > 2 @0
write delete from t
    a - 1
    a - 2
    a - 3
    b - RY8qRUAs_KKPss0IdD__Yw
