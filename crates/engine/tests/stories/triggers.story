# Triggers, generated columns, views on views, FTS5: seen through whatever the write took.
write create table t (id integer primary key, v int, double int as (v * 2), kept int as (v + 1) stored)
write create table log (id integer primary key, what text)
write create trigger t_ai after insert on t begin insert into log (what) values ('t' || new.id); end
write create view big as select id, double from t where v > 10
write create view bigger as select * from big where double > 100
write create virtual table words using fts5 (body)
live log: select what from log
    log rows ["what"] ordered=false
live double: select id, double, kept from t
    double rows ["id","double","kept"] ordered=false
live view: select * from bigger
    view rows ["id","double"] ordered=false
live fts: select rowid, body from words where words match 'tide'
    fts rows ["rowid","body"] ordered=false
write insert into t (id, v) values (1, 5), (2, 60)
    double + 1 [1,10,6]
    double + 2 [2,120,61]
    log + XcJTMH9BTkQfTyDgx5H5EA ["t1"]
    log + U0P42j-elfoTqNAXZnM9zg ["t2"]
    view + 2 [2,120]
write update t set v = 70 where id = 1
    double ~ 1 [1,140,71]
    view + 1 [1,140]
write insert into words (body) values ('the tide rises'), ('the moon')
    fts + juDNZ5Y_TAkek58N1aWiGg [1,"the tide rises"]
write update words set body = 'nothing' where rowid = 1
    fts - juDNZ5Y_TAkek58N1aWiGg
write delete from t
    double - 1
    double - 2
    view - 1
    view - 2
