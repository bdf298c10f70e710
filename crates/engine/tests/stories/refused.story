# What cannot stay true is refused with the reason.
write create table t (id integer primary key, at text)
live a: insert into t values (1, 'x')
    a invalid: Only a SELECT can be live.
live b: select random()
    b unsupported: random gives another answer at every call, so the query cannot be live. Bind its value instead.
live c: select * from t where at < datetime('now')
    c unsupported: The query looks at the clock ('now'), so its result changes without any write and cannot be live. Bind the time as a parameter and subscribe again when it should move on.
live d: select current_timestamp
    d unsupported: current_timestamp gives another answer at every call, so the query cannot be live. Bind its value instead.
live e: select missing from t
    e invalid: no such column: missing
live f: select 1; select 2
    f invalid: One SELECT at a time can be live.
live g: pragma table_info(t)
    g invalid: Only a SELECT can be live.
live h: select strftime('%Y') from t
    h unsupported: The query looks at the clock ('now'), so its result changes without any write and cannot be live. Bind the time as a parameter and subscribe again when it should move on.
live i: explain select 1
    i invalid: Only a SELECT can be live.
live j: select * from pragma_table_info('t')
    j unsupported: pragma_table_info cannot be live: its changes cannot be seen.
live k: select date(at, '+1 day') from t
    k rows ["date(at, '+1 day')"] ordered=false
write insert into t values (1, 'now')
    k unsupported: The query looks at the clock ('now'), so its result changes without any write and cannot be live. Bind the time as a parameter and subscribe again when it should move on.
