-- What a caller may try with a write, one a line. No row that is hidden or closed may change, whatever comes of it.
UPDATE notes SET body = 'taken'
UPDATE notes SET body = 'taken' WHERE id = 2
UPDATE notes SET body = 'taken' WHERE 1 OR 1
UPDATE notes SET body = 'taken' WHERE id = 2) OR (1
UPDATE notes SET body = 'taken' WHERE id = 2 -- and more
UPDATE main.notes SET body = 'taken'
UPDATE "main"."notes" SET body = 'taken'
UPDATE notes AS n SET body = 'taken' WHERE n.id > 0
UPDATE "notes" AS "x y" SET body = 'taken'
UPDATE notes SET owner = 'alice'
UPDATE notes SET owner = 'bob' WHERE id = 1
UPDATE notes SET id = 2 WHERE id = 1
UPDATE notes SET id = 100 + id
UPDATE OR REPLACE notes SET id = 2 WHERE id = 1
UPDATE OR IGNORE notes SET id = 2 WHERE id = 1
UPDATE OR FAIL notes SET slug = 'b1' WHERE id = 1
UPDATE OR ROLLBACK notes SET slug = 'b1'
UPDATE notes SET slug = 'b1' WHERE id = 1
UPDATE notes SET body = (SELECT body FROM notes WHERE id = 2) WHERE id = 1
UPDATE notes SET body = (SELECT secret FROM secrets) WHERE id = 1
UPDATE notes SET body = s.secret FROM secrets AS s WHERE notes.id = 1
UPDATE notes SET body = n.body FROM notes AS n WHERE n.id = 2 AND notes.id = 1
UPDATE notes SET body = 'taken' FROM main.notes AS n WHERE n.id = notes.id
UPDATE notes SET body = 'taken' WHERE abs(CASE WHEN body LIKE 'hidden%' THEN -9223372036854775808 ELSE 1 END) > 0
UPDATE notes SET body = abs(CASE WHEN body LIKE 'hidden%' THEN -9223372036854775808 ELSE 1 END)
UPDATE notes SET (body, owner) = ('taken', 'bob')
UPDATE notes SET body = 'mine' WHERE id = 1 RETURNING *
UPDATE notes SET body = 'taken' RETURNING (SELECT secret FROM secrets)
UPDATE secrets SET secret = 'x'
UPDATE people SET salary = 1
UPDATE people SET name = 'x' RETURNING salary
UPDATE people SET name = salary
UPDATE people SET name = 'x' WHERE salary = 20
UPDATE people SET (name, salary) = ('x', 1)
UPDATE _tide_policies SET [using] = 'true'
UPDATE sqlite_schema SET sql = ''
UPDATE everything SET secret = 'x'
UPDATE rooms SET name = 'taken'
DELETE FROM notes
DELETE FROM notes WHERE id = 2
DELETE FROM notes WHERE id IN (SELECT id FROM secrets)
DELETE FROM main.notes
DELETE FROM notes AS n WHERE n.id = 2
DELETE FROM notes RETURNING *
DELETE FROM secrets
DELETE FROM rooms
DELETE FROM people
DELETE FROM _tide_policies
DELETE FROM _tide_log
DELETE FROM sqlite_sequence
INSERT INTO notes (id, owner, body) VALUES (50, 'bob', 'forged')
INSERT INTO notes (id, owner, body) VALUES (50, 'alice', 'mine')
INSERT INTO notes (owner, body) VALUES ('alice', 'a'), ('bob', 'b')
INSERT INTO notes SELECT id + 100, 'alice', secret, secret, NULL FROM secrets
INSERT INTO notes (owner, body) SELECT 'alice', body FROM notes
INSERT INTO notes (owner, body) SELECT 'alice', body FROM main.notes
INSERT INTO main.notes (owner, body) VALUES ('alice', 'x')
INSERT OR REPLACE INTO notes (id, owner, body) VALUES (2, 'alice', 'taken')
REPLACE INTO notes (id, owner, body) VALUES (2, 'alice', 'taken')
INSERT OR IGNORE INTO notes (id, owner, body) VALUES (2, 'alice', 'taken')
INSERT INTO notes (id, owner, body) VALUES (2, 'alice', 'taken') ON CONFLICT DO NOTHING
INSERT INTO notes (id, owner, body) VALUES (2, 'alice', 'taken') ON CONFLICT (id) DO UPDATE SET body = 'taken'
INSERT INTO notes (id, owner, body) VALUES (2, 'alice', 'taken') ON CONFLICT (id) DO UPDATE SET body = 'taken' WHERE 1 OR 1
INSERT INTO notes (id, owner, body) VALUES (2, 'alice', 'taken') ON CONFLICT (id) DO UPDATE SET owner = 'alice' RETURNING *
INSERT INTO notes (id, owner, body) VALUES (2, 'alice', 'taken') ON CONFLICT (slug) DO NOTHING ON CONFLICT (id) DO UPDATE SET body = 'taken'
INSERT INTO notes AS n (id, owner, body) VALUES (2, 'alice', 'x') ON CONFLICT (id) DO UPDATE SET body = n.body || 'x'
INSERT INTO notes (id, owner, body) VALUES (1, 'alice', 'x') ON CONFLICT (id) DO UPDATE SET owner = 'bob'
INSERT INTO notes (id, owner, slug) VALUES (60, 'alice', 'b1')
INSERT INTO secrets VALUES (9, 'x')
INSERT INTO people (name, salary) VALUES ('alice', 99)
INSERT INTO people VALUES (9, 'alice', 99)
INSERT INTO people DEFAULT VALUES
INSERT INTO everything VALUES (9, 'x')
INSERT INTO rooms (id, name) VALUES (9, 'x')
INSERT INTO members VALUES (2, 'alice')
INSERT INTO _tide_policies VALUES ('x', 'secrets', 'all', NULL, 'true', NULL, NULL)
INSERT INTO notes (owner, body) VALUES ('alice', (SELECT secret FROM secrets))
INSERT INTO notes (owner, body) VALUES ('alice', 'x') RETURNING (SELECT count(*) FROM secrets)
WITH x AS (SELECT * FROM secrets) INSERT INTO notes (owner, body) SELECT 'alice', secret FROM x
WITH notes_made AS (SELECT * FROM secrets) INSERT INTO notes (owner, body) SELECT 'alice', secret FROM notes_made
WITH x AS (SELECT 2 AS id) UPDATE notes SET body = 'taken' WHERE id IN (SELECT id FROM x)
WITH x AS (SELECT 2 AS id) DELETE FROM notes WHERE id IN x
INSERT INTO replaced (id, owner, code) VALUES (9, 'alice', 'b')
UPDATE replaced SET code = 'b' WHERE owner = 'alice'
INSERT INTO inbox (id, owner) VALUES (1, 'bob')
UPDATE keyed SET v = 'taken'
DELETE FROM keyed WHERE a = 'B'
INSERT INTO keyed VALUES ('b', 2, 'alice', 'x') ON CONFLICT DO UPDATE SET v = 'taken'
DELETE FROM parents WHERE id = 1
DELETE FROM parents WHERE id = 2
INSERT INTO notes (owner, body) VALUES ('alice', 'x'); DELETE FROM secrets
UPDATE notes SET body = (SELECT n.body FROM json_each('[1]') window, notes n WHERE n.id = 2) WHERE id = 1
UPDATE notes SET body = (SELECT n.body FROM json_each('[1]') AS window, 'notes' AS n WHERE n.id = 2) WHERE id = 1
UPDATE notes SET body = (SELECT n.body FROM json_each('[1]') window, main.notes n WHERE n.id = 2) WHERE id = 1
UPDATE notes SET body = (SELECT notes.body FROM json_each('[1]') window, notes WHERE notes.id = 2) WHERE id = 1
UPDATE notes SET body = 'told' WHERE id = 1 AND (SELECT n.body FROM json_each('[1]') window, notes n WHERE n.id = 2) LIKE 'hidden%'
INSERT INTO notes (owner, body) SELECT 'alice', n.body FROM json_each('[1]') window, notes n WHERE n.id = 2
INSERT INTO notes (id, owner, body) VALUES (1, 'alice', 'x') ON CONFLICT (slug) DO NOTHING ON CONFLICT (id) DO UPDATE SET body = (SELECT n.body FROM json_each('[1]') window, notes n WHERE n.id = 2)
DELETE FROM parents WHERE id = (SELECT parent FROM json_each('[1]') window, children c WHERE c.id = 2)
UPDATE notes SET body = (SELECT window.body FROM json_each('[1]'), notes window, notes n WHERE n.id = 2) WHERE id = 1
UPDATE notes SET body = 0xe--'␤||(SELECT group_concat(n.body) FROM main.notes AS n) --'␤ WHERE id = 1 RETURNING body
UPDATE notes SET body = $a(')||(SELECT group_concat(n.body) FROM main.notes AS n)--')␤ WHERE id = 1 RETURNING body
-- A key that nobody granted
UPDATE drawers SET label = code
UPDATE drawers SET label = drawers.code
UPDATE drawers AS d SET label = d.'code'
UPDATE drawers SET label = label WHERE code > 'a'
UPDATE drawers SET label = label WHERE rowid = 1
UPDATE drawers SET label = label RETURNING *
UPDATE drawers SET label = label RETURNING label, *
UPDATE drawers SET label = label RETURNING code
DELETE FROM drawers WHERE code LIKE 'h%'
DELETE FROM drawers RETURNING code
INSERT INTO drawers VALUES ('hidden too', 'alice', 'x') ON CONFLICT DO UPDATE SET label = drawers.code
INSERT INTO drawers VALUES ('hidden too', 'alice', 'x') ON CONFLICT (code) DO UPDATE SET label = label RETURNING code
INSERT INTO drawers VALUES ('hidden too', 'alice', 'x') ON CONFLICT (code) DO UPDATE SET label = label RETURNING rowid, *
-- Errors that tell, and parentheses that break out
UPDATE notes SET done = done WHERE json_valid('1', iif(body = 'hidden 2', 99, 1)) AND 0
UPDATE notes SET done = done WHERE auth_claim(iif(body = 'hidden 2', 1, 'x')) IS NOT NULL
UPDATE notes SET done = done WHERE (SELECT sum(column1) FROM (VALUES (9223372036854775807), (notes.body = 'hidden 2'))) < 0
UPDATE notes SET body = 'told' WHERE owner = 'bob') OR (0
UPDATE notes SET body = 'told' WHERE 0) END OR CASE WHEN abs(iif(body = 'hidden 2', -9223372036854775807 - 1, 1)) = 0 THEN (1
UPDATE drawers SET label = label WHERE abs(1)) END RETURNING *, CASE WHEN 1 THEN (1
UPDATE drawers AS excluded SET label = excluded.code RETURNING label
DELETE FROM drawers AS excluded WHERE excluded.code LIKE 'h%'
-- Two things of one name
UPDATE drawers AS s SET label = 'told' FROM (SELECT abs(random()) % 4 AS rowid FROM (VALUES (0), (1), (2), (3), (4), (5), (6), (7))) AS s WHERE 1
UPDATE drawers AS s SET label = 'told' FROM (SELECT 1 AS rowid) s WHERE 1
UPDATE drawers SET label = 'told' FROM (SELECT abs(random()) % 4 AS rowid FROM (VALUES (0), (1), (2), (3), (4), (5), (6), (7))) AS drawers WHERE 1
UPDATE drawers AS "S" SET label = 'told' FROM (SELECT abs(random()) % 4 AS rowid FROM (VALUES (0), (1), (2), (3), (4), (5), (6), (7))) 's' WHERE 1
UPDATE drawers AS rooms SET label = 'told' FROM rooms WHERE 0
WITH s AS (SELECT abs(random()) % 4 AS rowid FROM (VALUES (0), (1), (2), (3), (4), (5), (6), (7))) UPDATE drawers AS s SET label = 'told' FROM s WHERE 1
-- Bounds that are no number, and what is asked before the policies are
DELETE FROM notes WHERE CASE WHEN body = 'hidden 2' THEN (SELECT 1 LIMIT 1 OFFSET 'x') END
UPDATE notes SET done = done WHERE CASE WHEN body = 'hidden 2' THEN (SELECT count(*) OVER (ROWS -1 PRECEDING) FROM (VALUES (1))) = 77 END
UPDATE notes SET done = done FROM json_each(iif(notes.body = 'hidden 2', 'x', '[]')) AS j WHERE j.value IS NULL
UPDATE notes SET done = done FROM (rooms AS r JOIN json_tree(iif(notes.body = 'hidden 2', 'x', '[]')) AS j ON true) WHERE j.value IS NULL
INSERT INTO notes (id, owner) VALUES (3, 'alice') ON CONFLICT (id) DO UPDATE SET done = done WHERE CASE WHEN body = 'hidden 2' THEN (SELECT 1 LIMIT 1 OFFSET 'x') END
