# REPLACE overwrites a row that a trigger keeps it from deleting, and SQLite tells nobody that the row was there.
write create table t (j real, k, v, primary key (j, k desc)) without rowid
write create trigger stay before delete on t begin select raise(ignore); end
write insert into t values (0, '-', 'a'), (1, '-', 'b')
live all: select j, v from t
    all rows ["j","v"] ordered=false
    all = 4h3iH-uoRGHTWcEXTNR84A [0.0,"a"]
    all = eG3WJxGin-QBs8kvEZqixw [1.0,"b"]
write update or replace t set j = j + 1
    all - 4h3iH-uoRGHTWcEXTNR84A
    all - eG3WJxGin-QBs8kvEZqixw
    all + VxwL_t5SrjKZz-2Hts5KAw [2.0,"a"]
write replace into t values (2, '-', 'c')
    conflict: UNIQUE constraint failed: t.j, t.k
