# What was rolled back was never told.
write create table p (id integer primary key)
write create table c (id integer primary key, p int references p (id) deferrable initially deferred, v int check (v > 0))
live a: select id, p, v from c
    a rows ["id","p","v"] ordered=false
write insert into p values (1)
write insert into c values (1, 1, 1)
    a + 1 [1,1,1]
write insert into c values (2, 1, 1), (3, 1, 0)
    conflict: CHECK constraint failed: v > 0
write insert into c values (4, 99, 1)
    conflict: FOREIGN KEY constraint failed
write insert or rollback into c values (5, 1, 1), (1, 1, 1)
    conflict: UNIQUE constraint failed: c.id
write insert into c values (6, 1, 6); insert into c values (1, 1, 1)
    conflict: UNIQUE constraint failed: c.id
write insert into c values (7, 1, 7)
    a + 7 [7,1,7]
