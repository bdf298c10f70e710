# A join with GROUP BY and ORDER BY … LIMIT is told by group, whichever table changed.
write create table author (id integer primary key, name text)
write create table book (id integer primary key, author int references author (id) on delete cascade, sold int)
write insert into author values (1, 'Woolf'), (2, 'Joyce')
write insert into book values (1, 1, 5), (2, 1, 7), (3, 2, 9)
live top: select a.name, count(*) as books, sum(b.sold) as sold from author a join book b on b.author = a.id group by a.id order by sold desc limit 2
    top rows ["name","books","sold"] ordered=true
    top = 'Woolf ["Woolf",2,12]
    top = 'Joyce ["Joyce",1,9]
live none: select name from author a where not exists (select 1 from book b where b.author = a.id)
    none rows ["name"] ordered=false
write update book set sold = 20 where id = 3
    top ~ 'Joyce ["Joyce",1,20]
    top > 'Joyce @0
write insert into author values (3, 'Mann')
    none + lT0TIuDKL6-wVr9Gud-QKg ["Mann"]
write update author set name = 'Virginia Woolf' where id = 1
    top - 'Woolf
    top + 'Virginia Woolf ["Virginia Woolf",2,12] @1
write delete from author where id = 2
    top - 'Joyce
