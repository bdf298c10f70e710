# A key with another collation than its column: rows that the column takes for equal are two.
write create table t (j, k text collate rtrim, v, primary key (j, k collate binary)) without rowid
live all: select j, v from t
    all rows ["j","v"] ordered=false
write insert into t values (1, 'a', 'first')
    all + EcRkPobTceGAKvxC-AGc9g [1,"first"]
write insert into t values (1, 'a  ', 'second')
    all + adsUNdePZFJOQVQVu9juAQ [1,"second"]
write replace into t values (1, 'a ', 'third')
    all + 6pVIWHGIa8JuvWg_EEbVBQ [1,"third"]
write update t set v = 'mine' where k = 'a' collate binary
    all - EcRkPobTceGAKvxC-AGc9g
    all + e7HjCKIc2iZWt_iKg_lDOw [1,"mine"]
write delete from t where k = 'a  ' collate binary
    all - adsUNdePZFJOQVQVu9juAQ
