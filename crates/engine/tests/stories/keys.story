# Keys that move, REPLACE that hits two rows, rows that share their key's columns.
write create table t (id integer primary key, u text unique, v)
write create table w (a text collate nocase, b int, v, primary key (a, b)) without rowid
write insert into t values (1, 'a', 1), (2, 'b', 2)
write insert into w values ('K', 1, 'one')
live t: select id, u, v from t
    t rows ["id","u","v"] ordered=false
    t = 1 [1,"a",1]
    t = 2 [2,"b",2]
live w: select a, b, v from w
    w rows ["a","b","v"] ordered=false
    w = 'K,1 ["K",1,"one"]
live both: select t.id, w.a from t, w
    both rows ["id","a"] ordered=false
    both = 1 [1,"K"]
    both = 2 [2,"K"]
write insert or replace into t values (1, 'b', 3)
    both - 2
    t - 2
    t ~ 1 [1,"b",3]
write update t set id = 9
    both - 1
    both + 9 [9,"K"]
    t - 1
    t + 9 [9,"b",3]
write update w set a = 'k'
    both ~ 9 [9,"k"]
    w - 'K,1
    w + 'k,1 ["k",1,"one"]
write insert into w values ('l', 1, 'two')
    both + 9~PpDFnPzvhtrjVfG8TEouyA [9,"l"]
    w + 'l,1 ["l",1,"two"]
write insert into w values ('K', 1, 'again')
    conflict: UNIQUE constraint failed: w.a, w.b
