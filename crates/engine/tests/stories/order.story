# An ordered result tells where each new or moved row stands, and moves as few as it can.
write create table t (id integer primary key, name text, score int)
write insert into t values (1, 'a', 10), (2, 'b', 20), (3, 'c', 30)
live a: select id, name, score from t order by score
    a rows ["id","name","score"] ordered=true
    a = 1 [1,"a",10]
    a = 2 [2,"b",20]
    a = 3 [3,"c",30]
write insert into t values (4, 'd', 15)
    a + 4 [4,"d",15] @1
write update t set score = 5 where id = 3
    a ~ 3 [3,"c",5]
    a > 3 @0
write update t set name = 'bb' where id = 2
    a ~ 2 [2,"bb",20]
write delete from t where id = 1
    a - 1
write update t set score = 15
    a ~ 2 [2,"bb",15]
    a ~ 3 [3,"c",15]
    a > 2 @0
write update t set name = name
