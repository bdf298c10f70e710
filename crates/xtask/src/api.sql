CREATE TABLE author (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE book (id INTEGER PRIMARY KEY, title TEXT NOT NULL DEFAULT 'untitled', year INTEGER CHECK (year > 0), price REAL, sold BOOLEAN,
  author_id INTEGER REFERENCES author, cover BLOB, extra JSON, made DATE DEFAULT CURRENT_DATE, loose, twice INTEGER AS (year * 2));
CREATE TABLE review (book INTEGER, who TEXT, stars REAL NOT NULL DEFAULT 3, PRIMARY KEY (book, who)) WITHOUT ROWID;
CREATE TABLE exact (id INTEGER PRIMARY KEY, n INTEGER, t TEXT, b BLOB) STRICT;
CREATE TABLE "odd {name}/" ("limit" TEXT PRIMARY KEY, "a,b" INTEGER);
CREATE VIEW loved AS SELECT book, avg(stars) AS stars FROM review GROUP BY book;
CREATE VIRTUAL TABLE words USING fts5 (word);
INSERT INTO author VALUES (1, 'Ada'), (2, 'Bo');
INSERT INTO book (id, title, year, author_id, extra) VALUES (1, 'Tides', 1999, 1, '{"pages": 10}');
INSERT INTO review VALUES (1, 'x', 5);
