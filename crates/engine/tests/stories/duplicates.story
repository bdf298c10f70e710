# Rows without a key of their own are told by content; equal rows are numbered.
write create table t (v)
live a: select v from t
    a rows ["v"] ordered=false
write insert into t values ('x'), ('x'), (1), (1.0), ('1'), (null), (null)
    a + wRP-r4dZoWIMpOai7GfMrA ["x"]
    a + wRP-r4dZoWIMpOai7GfMrA~1 ["x"]
    a + Mi4Hh45mlgxOSbO-C2I7Tw [1]
    a + vanX-s3QMn_BIlEGYaOQOA [1.0]
    a + Q7OEaH4c0R6ip8QBCrHA_Q ["1"]
    a + Ic8MChc4eRP-ptidAUIJOA [null]
    a + Ic8MChc4eRP-ptidAUIJOA~1 [null]
write delete from t where rowid = 1
    a - wRP-r4dZoWIMpOai7GfMrA~1
write delete from t
    a - Ic8MChc4eRP-ptidAUIJOA
    a - Ic8MChc4eRP-ptidAUIJOA~1
    a - Mi4Hh45mlgxOSbO-C2I7Tw
    a - Q7OEaH4c0R6ip8QBCrHA_Q
    a - vanX-s3QMn_BIlEGYaOQOA
    a - wRP-r4dZoWIMpOai7GfMrA
