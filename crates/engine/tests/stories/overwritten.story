# REPLACE overwrites a row that a trigger keeps it from deleting, and SQLite tells nobody that the row was there.
write create table t (k real primary key, v) without rowid
write create trigger stay before delete on t begin select raise(ignore); end
write insert into t values (0, 'a'), (1, 'b')
live all: select k, v from t
    all rows ["k","v"] ordered=false
    all = #6PLeK0FhiZvMrore1WcyCA [0.0,"a"]
    all = #vanX-s3QMn_BIlEGYaOQOA [1.0,"b"]
write update or replace t set k = 1 where k = 0
    conflict: UNIQUE constraint failed: t.k
write replace into t values (2, 'c')
    all + #qhGTLNJY6DJN5QjjNx8B2A [2.0,"c"]
