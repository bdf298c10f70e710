# An index that does not agree with its table: SQLite itself makes one here, as a REPLACE overwrites a row that a
# trigger keeps it from deleting. REINDEX mends it, and the result is another one without a row being touched.
write create table t (j real, k, v, primary key (j, k desc)) without rowid
write create index i on t (v)
write create trigger stay before delete on t begin select raise(ignore); end
write insert into t values (0, '-', 'a'), (1, '-', 'b')
write update or replace t set j = j + 1
live all: select v from t order by v
    all rows ["v"] ordered=true
    all = JOpNE20dBAvjtr5lOwZG6w ["a"]
    all = htaU42i9fDJopUlOl8dAfg ["b"]
write /* now */ reindex
    all - htaU42i9fDJopUlOl8dAfg
write analyze
