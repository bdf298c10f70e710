-- What a caller may try with a SELECT, one a line (␤ stands for a line's end). Each must answer the same whether or not there are rows that are hidden.
SELECT * FROM notes
SELECT count(*), max(id), group_concat(body) FROM notes
SELECT * FROM "notes" WHERE 1 OR 1
SELECT * FROM [notes] AS n WHERE n.body LIKE '%'
SELECT * FROM `notes`
SELECT * FROM 'notes'
SELECT * FROM main.notes
SELECT * FROM main . notes
SELECT * FROM "main"."notes"
SELECT * FROM 'main'.notes
SELECT * FROM [main].[notes]
SELECT * FROM temp.notes
SELECT * FROM/**/main/**/./**/notes
SELECT * FROM secrets
SELECT * FROM nowhere
SELECT (SELECT body FROM notes WHERE id = 2)
SELECT (SELECT secret FROM secrets)
SELECT 1 WHERE EXISTS (SELECT 1 FROM secrets)
SELECT 1 WHERE 1 IN (SELECT id FROM secrets)
SELECT 1 WHERE 2 IN notes
SELECT 2 IN secrets
SELECT 2 IN main.secrets
SELECT 2 IN (secrets)
SELECT 2 IN "secrets"
SELECT * FROM (SELECT * FROM notes)
SELECT * FROM (notes)
SELECT * FROM (notes), (secrets)
SELECT * FROM notes, secrets
SELECT * FROM notes JOIN secrets
SELECT * FROM notes LEFT JOIN secrets ON 1
SELECT * FROM notes NATURAL JOIN secrets
SELECT * FROM (notes JOIN (secrets))
SELECT * FROM notes UNION SELECT id, secret, 1, 1, 1 FROM secrets
SELECT * FROM notes UNION ALL SELECT * FROM notes
VALUES ((SELECT secret FROM secrets))
VALUES (1), (2)
WITH x AS (SELECT * FROM notes) SELECT * FROM x
WITH x AS (SELECT * FROM secrets) SELECT * FROM x
WITH x(a, b) AS (SELECT id, secret FROM secrets) SELECT * FROM x
WITH RECURSIVE x(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM x WHERE a < 5) SELECT * FROM x
WITH notes AS (SELECT * FROM main.notes) SELECT * FROM notes
WITH notes AS (SELECT * FROM notes) SELECT * FROM notes
WITH secrets AS (SELECT 1 AS a) SELECT * FROM secrets
WITH notes_made AS (SELECT * FROM secrets) SELECT * FROM notes_made
WITH notes_made AS (SELECT * FROM main.secrets) SELECT * FROM notes_made
WITH "notes_made" AS MATERIALIZED (SELECT * FROM main.secrets) SELECT * FROM notes_made
WITH 'notes_made'(a, b) AS NOT MATERIALIZED (SELECT * FROM secrets) SELECT * FROM notes_made
WITH everything AS (SELECT * FROM secrets) SELECT * FROM everything
WITH _tide_see_user_notes AS (SELECT * FROM main.secrets) SELECT * FROM _tide_see_user_notes
WITH "_TIDE_see_user_notes" AS (SELECT * FROM secrets) SELECT * FROM "_TIDE_see_user_notes"
WITH x AS (SELECT * FROM y), y AS (SELECT * FROM secrets) SELECT * FROM x
WITH notes AS (SELECT 1 AS id), x AS (WITH notes AS (SELECT 2) SELECT * FROM notes) SELECT * FROM x
SELECT * FROM _tide_see_user_notes
SELECT * FROM "_tide_see_user_notes"
SELECT * FROM '_tide_see_user_notes'
SELECT * FROM temp._tide_see_user_notes
SELECT * FROM _tide_meta
SELECT * FROM _tide_log
SELECT * FROM _tide_policies
SELECT * FROM "_tide_policies"
SELECT _tide_admit(1)
SELECT * FROM sqlite_schema
SELECT * FROM sqlite_master
SELECT * FROM sqlite_temp_schema
SELECT * FROM sqlite_sequence
SELECT * FROM sqlite_stat1
SELECT * FROM dbstat
SELECT * FROM sqlite_dbpage
SELECT * FROM pragma_table_info('secrets')
SELECT * FROM pragma_table_list
SELECT * FROM pragma_function_list
SELECT * FROM 'pragma_table_list'
SELECT * FROM everything
SELECT * FROM words
SELECT * FROM words_content
SELECT * FROM words('hidden')
SELECT * FROM words WHERE words MATCH 'hidden'
SELECT load_extension('x')
SELECT fts3_tokenizer('x')
SELECT readfile('/etc/passwd')
SELECT writefile('/tmp/x', 'y')
SELECT sqlite_compileoption_get(1)
SELECT zeroblob(100000000)
SELECT sqlite_offset(id) FROM notes
EXPLAIN SELECT * FROM secrets
EXPLAIN QUERY PLAN SELECT * FROM notes
EXPLAIN LIVE SELECT * FROM notes
PRAGMA table_info(secrets)
PRAGMA query_only
PRAGMA writable_schema = 1
ATTACH ':memory:' AS other
DETACH main
VACUUM
VACUUM INTO '/tmp/x'
ANALYZE
REINDEX
BEGIN
SAVEPOINT x
CREATE TABLE mine (a)
CREATE TEMP TABLE mine AS SELECT * FROM secrets
CREATE VIEW mine AS SELECT * FROM secrets
CREATE TEMP VIEW notes AS SELECT 1
CREATE TRIGGER mine AFTER INSERT ON notes BEGIN DELETE FROM secrets; END
CREATE INDEX mine ON notes (body)
DROP TABLE notes
ALTER TABLE notes ADD COLUMN more
SELECT id FROM notes WHERE abs(CASE WHEN body LIKE 'hidden%' THEN -9223372036854775808 ELSE 1 END) > 0
SELECT id FROM notes WHERE abs(CASE WHEN id = 2 THEN -9223372036854775808 ELSE 1 END) > 0 AND id = 2
SELECT id FROM notes WHERE json_extract(CASE WHEN body LIKE 'hidden%' THEN '{' ELSE '{}' END, '$.a') IS NULL
SELECT id FROM notes WHERE (CASE WHEN body LIKE 'hidden%' THEN '{' ELSE '{}' END ->> '$.a') IS NULL
SELECT id FROM notes WHERE 'x' LIKE (CASE WHEN body LIKE 'hidden%' THEN printf('%.60000c', '%') ELSE 'x' END)
SELECT id FROM notes WHERE body LIKE body ESCAPE (CASE WHEN body LIKE 'hidden%' THEN 'ab' ELSE 'a' END)
SELECT id FROM notes WHERE length(printf('%.*c', CASE WHEN body LIKE 'hidden%' THEN 99999 ELSE 1 END, 'x') || zeroblob(CASE WHEN id = 2 THEN 2000000000 ELSE 1 END)) > 0
SELECT id FROM notes WHERE (SELECT sum(9223372036854775807) FROM notes AS n WHERE notes.body LIKE 'hidden%') > 0
SELECT id FROM notes ORDER BY abs(CASE WHEN body LIKE 'hidden%' THEN -9223372036854775808 ELSE 1 END)
SELECT sum(CASE WHEN body LIKE 'hidden%' THEN 9223372036854775807 ELSE 1 END + 0) FROM notes
SELECT id FROM notes GROUP BY id HAVING abs(CASE WHEN max(body) LIKE 'hidden%' THEN -9223372036854775808 ELSE 1 END) > 0
SELECT id FROM notes WHERE id IN (SELECT abs(CASE WHEN n.body LIKE 'hidden%' THEN -9223372036854775808 ELSE 1 END) FROM notes n)
SELECT n.id FROM notes n JOIN notes m ON abs(CASE WHEN m.body LIKE 'hidden%' THEN -9223372036854775808 ELSE 1 END) > 0
SELECT id FROM notes WHERE replace(body, 'h', zeroblob(1000000)) IS NOT NULL
SELECT id, sum(id) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM notes
SELECT id, nth_value(id, 1) OVER (ORDER BY id) FROM notes
SELECT id FROM notes LIMIT (SELECT count(*) FROM secrets)
SELECT id FROM notes LIMIT 1 OFFSET (SELECT id FROM secrets)
SELECT id FROM notes ORDER BY (SELECT secret FROM secrets)
SELECT CASE WHEN (SELECT count(*) FROM secrets) > 0 THEN 1 END
SELECT id FROM notes WHERE body IS DISTINCT FROM secrets
SELECT id FROM notes WHERE body IS NOT DISTINCT FROM 'x'
SELECT * FROM json_each('[1,2]')
SELECT j.value FROM notes, json_each('["' || body || '"]') AS j
SELECT * FROM json_each((SELECT json_group_array(secret) FROM secrets))
SELECT id AS "from", body AS 'join' FROM notes
SELECT notes.id FROM notes notes
SELECT n.* FROM notes AS n, notes AS m WHERE n.id = m.id
SELECT id FROM notes WINDOW secrets AS (ORDER BY id)
SELECT rowid FROM notes
SELECT salary FROM people
SELECT name FROM people WHERE salary > 10
SELECT name FROM people ORDER BY salary
SELECT * FROM people
SELECT people.salary FROM people
SELECT max(salary) FROM people
SELECT name FROM people GROUP BY name HAVING sum(salary) > 1
SELECT auth.uid(), auth.role(), auth.claim('org'), auth_uid()
SELECT id FROM notes WHERE owner = auth.uid() AND auth.role() = 'user'
SELECT last_insert_rowid(), changes()
SELECT * FROM rooms
SELECT count(*) FROM rooms
SELECT r.id FROM rooms r JOIN notes n ON n.id = r.id
SELECT * FROM members
SELECT 1; SELECT * FROM secrets
SELECT 'unterminated FROM secrets
SELECT * FROM notes -- ' FROM secrets
SELECT * FROM notes /* FROM secrets
SELECT "secrets"."secret" FROM notes
SELECT secrets.secret FROM notes
SELECT * FROM notes WHERE (id, body) IN secrets
SELECT * FROM notes WHERE id IN (SELECT id FROM main.notes)
SELECT * FROM notes WHERE EXISTS (SELECT * FROM (SELECT * FROM (SELECT * FROM secrets)))
SELECT * FROM notes AS main, main.secrets
SELECT * FROM notes INDEXED BY notes_owner
SELECT * FROM notes NOT INDEXED
SELECT * FROM notes CROSS JOIN json_each('[1]') ON 1
SELECT * FROM notes n FULL JOIN notes m USING (id)
SELECT * FROM notes RIGHT JOIN rooms USING (id)
SELECT n.body FROM json_each('[1]') window, notes n WHERE n.id = 2
SELECT s.secret FROM json_each('[1]') window, secrets s
SELECT count(*) FROM json_each('[1]') window, secrets s
SELECT 1 FROM json_each('[1]') window, secrets
SELECT (SELECT s.secret FROM json_each('[1]') AS window, secrets AS s)
WITH x AS (SELECT s.secret FROM json_each('[1]') window, secrets s) SELECT * FROM x
SELECT t.what FROM json_each('[1]') window, audit t
WITH notes_made AS (SELECT s.secret FROM json_each('[1]') window, secrets s) SELECT * FROM notes_made
WITH everything(a) AS (SELECT s.secret FROM json_each('[1]') window, secrets s) SELECT * FROM everything
WITH "É it's" AS (SELECT s.secret FROM json_each('[1]') window, secrets s) SELECT * FROM "É it's"
WITH 'É it''s' AS (SELECT s.secret FROM json_each('[1]') window, secrets s) SELECT * FROM "É it's"
WITH "é IT'S" AS (SELECT s.secret FROM json_each('[1]') window, secrets s) SELECT * FROM "é it's"
SELECT 0xe--'␤, (WITH "_tide_see_user_notes" AS (SELECT group_concat(secret) AS x FROM main.secrets) SELECT x FROM "_tide_see_user_notes") --'␤ FROM notes
SELECT 1e--'␤, (WITH "_tide_see_user_notes" AS (SELECT group_concat(secret) AS x FROM main.secrets) SELECT x FROM "_tide_see_user_notes") --'␤ FROM notes
SELECT $a('), (WITH "_tide_see_user_notes" AS (SELECT group_concat(secret) AS x FROM main.secrets) SELECT x FROM "_tide_see_user_notes") --')␤ FROM notes
SELECT x'12'', (SELECT group_concat(secret) FROM main.secrets) --' FROM notes
SELECT id FROM rooms WHERE CASE WHEN id = 2 THEN abs (-9223372036854775807 - 1) END IS NULL
SELECT id FROM rooms WHERE CASE WHEN id = 2 THEN (SELECT 1 LIMIT 1 OFFSET 'x') END IS NULL
SELECT id FROM rooms WHERE CASE WHEN id = 2 THEN (SELECT 1 LIMIT 'x') END IS NULL
-- What a view stands before, and what a macro writes out
SELECT count(*) FROM titles
SELECT * FROM again
SELECT body FROM again
SELECT (SELECT count(*) FROM notes AS n, titles) FROM titles
SELECT $_exclude(secret) FROM secrets
SELECT $_exclude(nothing) FROM secrets
SELECT $_exclude(nothing) FROM everything
SELECT $_exclude(salary) FROM people
SELECT $_exclude(nothing) FROM nowhere
SELECT $_exclude ( 'x
SELECT * FROM drawers
SELECT code FROM drawers
-- Marks that end otherwise than they seem to
SELECT 'a''
SELECT "id FROM notes
SELECT [id FROM notes
SELECT `id`` FROM secrets -- ` FROM notes
SELECT x'0' FROM notes
SELECT 1__0, 0x FROM notes
SELECT 12abc FROM notes
SELECT $a::b('), (SELECT secret FROM secrets) -- ') FROM notes
-- What SQLite tells its authorizer nothing of
SELECT id, secret FROM (SELECT 1) AS window, secrets NATURAL FULL JOIN (SELECT 0 AS id, 1 AS secret)
SELECT id, secret FROM (SELECT 1) window, secrets NATURAL JOIN (SELECT 2 AS id)
SELECT id, secret FROM (SELECT 1) "window", secrets NATURAL FULL JOIN (SELECT 0 AS id, 1 AS secret)
SELECT count(*) FROM notes AS window, notes
SELECT count(*) FROM notes AS "window", notes
SELECT count(*) FROM (SELECT 1) AS window, secrets FULL JOIN (SELECT 0 AS id) USING (id)
SELECT count(*) FROM notes JOIN (SELECT 1 AS window) t ON t.window, secrets
SELECT type, name, sql FROM (SELECT 1) window, sqlite_schema NATURAL FULL JOIN (SELECT 1 AS type, 2 AS name, 3 AS tbl_name, 4 AS rootpage, 5 AS sql)
SELECT name, sql FROM (SELECT 1), sqlite_schema NATURAL FULL JOIN (SELECT 1 AS type, 2 AS name, 3 AS tbl_name, 4 AS rootpage, 5 AS sql) WHERE 1 IN (WITH sqlite_schema AS (SELECT 1) SELECT 1)
SELECT count(*) FROM sqlite_master WHERE 1 IN (WITH sqlite_master AS (SELECT 1) SELECT 1)
SELECT count(*) FROM "sqlite_temp_schema" WHERE 1 IN (WITH "sqlite_temp_schema" AS (SELECT 1) SELECT 1)
SELECT * FROM pragma_table_list WHERE 1 IN (WITH pragma_table_list AS (SELECT 1) SELECT 1)
SELECT sum(id) OVER w FROM notes WINDOW w AS (ORDER BY id)
-- Functions that fail for some rows, and what takes its time
SELECT id FROM rooms WHERE id = 2 AND json_valid('1', iif(name = 'hidden', 99, 1))
SELECT 1 FROM rooms WHERE json_valid('1', iif(name = 'hidden', 99, 1))
SELECT 1 FROM rooms WHERE auth_claim(iif(name = 'hidden', 1, 'x')) IS NULL
SELECT 1 FROM rooms WHERE like('x', 'x', iif(name = 'hidden', 'ab', '!'))
SELECT 1 FROM notes WHERE 1 IN (VALUES (1) UNION ALL SELECT abs(-9223372036854775807 - 1) FROM rooms WHERE id = 2)
-- Parentheses
SELECT id FROM notes WHERE owner = 'bob') OR (1
SELECT (id FROM notes
SELECT id) FROM notes
-- Bounds that are no number, and what grows or takes its time
SELECT 1 FROM rooms WHERE CASE WHEN name = 'hidden' THEN (SELECT 1 LIMIT 1 OFFSET 0.5) END
SELECT 1 FROM rooms WHERE CASE WHEN name = 'hidden' THEN (SELECT 1 LIMIT 1 OFFSET 1*0.5) END
SELECT 1 FROM rooms WHERE CASE WHEN name = 'hidden' THEN (SELECT 1 LIMIT 1 OFFSET 99999999999999999999) END
SELECT 1 FROM (SELECT 1 AS q) AS f LEFT JOIN notes ON notes.id = 2 AND 1 IN (SELECT 1 LIMIT 1.5)
SELECT 1 FROM rooms WHERE CASE WHEN name = 'hidden' THEN 1 IN (SELECT 1 LIMIT 1, 'x') END
SELECT 1 FROM rooms WHERE CASE WHEN name = 'hidden' THEN (SELECT count(*) OVER (ROWS -1 PRECEDING) FROM (VALUES (1))) END
