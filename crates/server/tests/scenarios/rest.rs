//! Tables as resources: lists, filters, pages, embedded rows, and writes with what is wrong with them.

use crate::server::Server;
use crate::server::http::{Answer, Request};
use serde_json::{Value as Json, json};

async fn get(server: &Server, path: &str) -> Answer {
    server.send(Request::get(path)).await
}

async fn send(server: &Server, method: &'static str, path: &str, body: Json) -> Answer {
    server.send(Request::new(method, path).json(body)).await
}

async fn library() -> Server {
    let server = Server::start().await;
    server
        .sql(
            "CREATE TABLE author (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE COLLATE NOCASE);
             CREATE TABLE book (id INTEGER PRIMARY KEY, title TEXT NOT NULL DEFAULT 'untitled', year INTEGER CHECK (year > 0),
               writer_id INTEGER REFERENCES author, editor_id INTEGER REFERENCES author, cover BLOB, extra JSON);
             CREATE TABLE review (book INTEGER REFERENCES book ON DELETE CASCADE, who TEXT, stars REAL, PRIMARY KEY (book, who)) WITHOUT ROWID;
             INSERT INTO author VALUES (1, 'Ada'), (2, 'Bo');
             INSERT INTO book (id, title, year, writer_id, editor_id, cover, extra) VALUES
               (1, 'Tides', 1999, 1, 2, x'00ff', '{\"pages\": 10}'), (2, 'Waves', 2004, 1, NULL, NULL, NULL), (3, 'Reefs', NULL, 2, 1, NULL, '[1]');
             INSERT INTO review VALUES (1, 'x', 4.5), (1, 'a,b/c', 3), (2, 'x', 5);",
        )
        .await;
    server
}

#[tokio::test]
async fn rows_are_listed_filtered_sorted_and_read_one_by_one() {
    let server = library().await;
    let titles = async |query: &str| {
        let rows = get(&server, &format!("/rest/book?select=title&{query}")).await.result();
        let titles = rows.as_array().unwrap().iter().map(|row| row["title"].as_str().unwrap().to_owned());
        titles.collect::<Vec<_>>().join(" ")
    };
    for (query, expected) in [
        ("", "Tides Waves Reefs"),
        ("id=2", "Waves"),
        ("id=2.0", "Waves"),
        ("title=Tides&year=1999", "Tides"),
        ("title.ne=Tides", "Waves Reefs"),
        ("year.gt=1999", "Waves"),
        ("year.gte=1999", "Tides Waves"),
        ("year.lt=2004", "Tides"),
        ("year.lte=2004&year.gte=2000", "Waves"),
        ("title.like=%25e%25s", "Tides Waves Reefs"),
        ("title.like=T%25", "Tides"),
        ("title.in=Waves,%20Reefs", "Waves Reefs"),
        ("title.in=%22Wa,ves%22,Tides", "Tides"),
        ("id.in=1,3", "Tides Reefs"),
        ("year.is=null", "Reefs"),
        ("year.is=not_null", "Tides Waves"),
        ("cover=AP8=", "Tides"),
        ("sort_by=title", "Reefs Tides Waves"),
        ("sort_by=title&order=DESC", "Waves Tides Reefs"),
        ("sort_by=writer_id,year&order=desc,asc", "Reefs Tides Waves"),
        ("limit=2", "Tides Waves"),
        ("limit=1&offset=1", "Waves"),
        ("offset=2", "Reefs"),
        ("limit=0", ""),
        ("TITLE=Tides", "Tides"),
    ] {
        assert_eq!(titles(query).await, expected, "{query}");
    }
    let tides = json!({"id": 1, "title": "Tides", "year": 1999, "writer_id": 1, "editor_id": 2,
        "cover": {"$blob": "AP8="}, "extra": {"pages": 10}});
    for path in ["/rest/book/1", "/rest/main/book/1", "/rest/BOOK/1"] {
        assert_eq!(get(&server, path).await.result(), tides, "{path}");
    }
    assert_eq!(get(&server, "/rest/book/1").await.revision(), 1);
    assert_eq!(get(&server, "/rest/review/1,a%2Cb%2Fc").await.result()["stars"], 3.0);
    assert_eq!(get(&server, "/rest/main/review/").await.result().as_array().unwrap().len(), 3);
    let counted = get(&server, "/rest/book?count=exact&limit=1&year.is=not_null").await;
    assert_eq!((counted.header("tidebase-count"), counted.result().as_array().unwrap().len()), (Some("2"), 1));
    server.sql("CREATE VIEW old AS SELECT title, year FROM book WHERE year < 2000").await;
    assert_eq!(get(&server, "/rest/old?year.gt=5").await.result(), json!([{"title": "Tides", "year": 1999}]));
}

#[tokio::test]
async fn what_is_not_known_is_refused_and_never_passed_over() {
    let server = library().await;
    for (path, status, code, words) in [
        ("/rest", 400, "invalid", "Expected a table name in the path"),
        ("/rest/", 400, "invalid", "Expected a table name in the path"),
        ("/rest/nothing", 404, "not_found", "There is no table nothing."),
        ("/rest/temp/book", 404, "not_found", "There is no table temp."),
        ("/rest/main", 404, "not_found", "There is no table main."),
        ("/rest/sqlite_schema", 404, "not_found", "There is no table sqlite_schema."),
        ("/rest/pragma_table_list", 404, "not_found", "There is no table"),
        ("/rest/book/1/2", 400, "invalid", "a slash within an id"),
        ("/rest/book/9", 404, "not_found", "There is no such row in book."),
        ("/rest/book/one", 400, "invalid", "The column id wants a number."),
        ("/rest/book/1?limit=1", 400, "invalid", "Of one row"),
        ("/rest/review/1", 400, "invalid", "The key of review has 2 parts: book,who"),
        ("/rest/book?nothing=1", 400, "invalid", "There is no column \"nothing\" in book."),
        ("/rest/book?id.near=1", 400, "invalid", "There is no operator \"near\"."),
        ("/rest/book?nothing.eq=1", 400, "invalid", "There is no column \"nothing\" in book."),
        ("/rest/book?rowid=1", 400, "invalid", "There is no column \"rowid\""),
        ("/rest/book?year=new", 400, "invalid", "The column year wants a number."),
        ("/rest/book?cover=%25", 400, "invalid", "The column cover wants base64."),
        ("/rest/book?year.is=5", 400, "invalid", "null, not_null, true or false"),
        ("/rest/book?id.in=1,", 400, "invalid", "The column id wants a number."),
        ("/rest/book?title.in=%22a", 400, "invalid", "a quote is opened"),
        ("/rest/book?limit=-1", 400, "invalid", "\"limit\" is a number from 0 to"),
        ("/rest/book?limit=99999999999999999999", 400, "invalid", "\"limit\" is a number"),
        ("/rest/book?limit=1e1", 400, "invalid", "\"limit\" is a number"),
        ("/rest/book?limit=", 400, "invalid", "\"limit\" is a number"),
        ("/rest/book?limit=1&limit=2", 400, "invalid", "given twice"),
        ("/rest/book?offset=%2B1", 400, "invalid", "\"offset\" is a number"),
        ("/rest/book?sort_by=nothing", 400, "invalid", "There is no column \"nothing\" in book."),
        ("/rest/book?sort_by=id,id", 400, "invalid", "names \"id\" twice"),
        ("/rest/book?sort_by=id&order=up", 400, "invalid", "asc or desc"),
        ("/rest/book?order=desc", 400, "invalid", "name a column there"),
        ("/rest/book?sort_by=id&order=asc,asc", 400, "invalid", "one for each"),
        ("/rest/book?count=planned", 400, "invalid", "\"count\" can be exact."),
        ("/rest/book?select=nothing", 400, "invalid", "There is no column \"nothing\" in book."),
        ("/rest/book?select=", 400, "invalid", "\"select\" has its end"),
        ("/rest/book?select=id,id", 400, "invalid", "two things called \"id\""),
        ("/rest/book?select=id,shelf(id)", 400, "invalid", "no foreign key to or from \"shelf\""),
        ("/rest/book?select=id,author(id)", 400, "invalid", "several ways: writer_id(…), editor_id(…)"),
        ("/rest/author?select=id,book(id)", 400, "invalid", "several ways: book!writer_id(…), book!editor_id(…)"),
        ("/rest/book?select=id,review(book(id))", 400, "invalid", "one level deep"),
        ("/rest/book?select=review(who)", 400, "invalid", ""),
        ("/rest/book?after=x", 400, "invalid", "not a cursor"),
        ("/rest/book?after=eyJieSI6IiIsImF0IjpbXX0", 400, "invalid", "the cursor of another order"),
        ("/rest/book?id=%zz", 400, "invalid", "two digits"),
        ("/rest/book?id=%ff", 400, "invalid", "not UTF-8"),
        ("/rest/%ff", 400, "invalid", "not UTF-8"),
        ("/rest/book%00", 404, "not_found", "There is no table"),
    ] {
        let answer = get(&server, path).await;
        if words.is_empty() {
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        } else {
            answer.is_refused(status, code, words);
        }
    }
    server.send(Request::get("/rest/book").without_token()).await.is_refused(401, "unauthorized", "");
}

#[tokio::test]
async fn a_page_ends_with_a_cursor_and_the_next_one_begins_behind_it() {
    let server = Server::start().await;
    server.sql("CREATE TABLE t (a TEXT, b INTEGER, big INTEGER, PRIMARY KEY (a, b)) WITHOUT ROWID").await;
    server.sql("CREATE TABLE loose (x); INSERT INTO loose VALUES (1), (2)").await;
    server
        .sql(
            "INSERT INTO t SELECT substr('aabbc', 1 + n % 5, 1), n, CASE WHEN n % 7 = 0 THEN NULL ELSE 9007199254740993 + n / 4 END
             FROM (SELECT value AS n FROM json_each('[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23]'))",
        )
        .await;
    for (sort, by) in [
        ("", ""),
        ("&sort_by=big", "big,"),
        ("&sort_by=big&order=desc", "big DESC,"),
        ("&sort_by=b,big&order=desc,asc", "b DESC, big,"),
    ] {
        let expected = server.sql(&format!("SELECT b FROM t ORDER BY {by} a, b")).await;
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let page = get(&server, &format!("/rest/t?select=b&limit=4{sort}{after}")).await;
            seen.extend(page.result().as_array().unwrap().clone());
            let Some(next) = page.header("tidebase-next") else { break };
            after = format!("&after={next}");
        }
        assert_eq!(json!(seen), expected, "{sort}");
    }
    let exact = get(&server, "/rest/t?limit=23").await;
    assert_eq!((exact.header("tidebase-next"), exact.result().as_array().unwrap().len()), (None, 23));
    let next = get(&server, "/rest/t?limit=1").await.header("tidebase-next").unwrap().to_owned();
    get(&server, &format!("/rest/t?sort_by=b&after={next}")).await.is_refused(400, "invalid", "another order");
    get(&server, &format!("/rest/t?offset=1&after={next}")).await.is_refused(400, "invalid", "one of them");
    get(&server, &format!("/rest/loose?after={next}")).await.is_refused(400, "invalid", "no primary key");
    assert_eq!(get(&server, "/rest/loose?limit=1").await.header("tidebase-next"), None);
    get(&server, "/rest/loose/1").await.is_refused(400, "invalid", "No primary key found for table 'loose'");
}

#[tokio::test]
async fn foreign_keys_embed_parents_and_children() {
    let server = library().await;
    let rows =
        get(&server, "/rest/book?select=id,writer_id(name),editor:author!editor_id(name),review(who,stars)&sort_by=id")
            .await;
    assert_eq!(
        rows.result(),
        json!([
            {"id": 1, "writer_id": {"name": "Ada"}, "editor": {"name": "Bo"},
             "review": [{"who": "a,b/c", "stars": 3.0}, {"who": "x", "stars": 4.5}]},
            {"id": 2, "writer_id": {"name": "Ada"}, "editor": null, "review": [{"who": "x", "stars": 5.0}]},
            {"id": 3, "writer_id": {"name": "Bo"}, "editor": {"name": "Ada"}, "review": []},
        ])
    );
    let one =
        get(&server, "/rest/author/1?select=name,wrote:book!writer_id(title,extra),book!editor_id(*)").await.result();
    assert_eq!(one["wrote"], json!([{"title": "Tides", "extra": {"pages": 10}}, {"title": "Waves", "extra": null}]));
    assert_eq!(one["book"][0]["title"], "Reefs");
    let page = get(&server, "/rest/book?select=id,review(who)&limit=1&offset=1").await.result();
    assert_eq!(page, json!([{"id": 2, "review": [{"who": "x"}]}]));
    // A table that refers to itself, with keys that are equal to SQLite and written otherwise.
    server
        .sql(
            "CREATE TABLE tree (name TEXT PRIMARY KEY COLLATE NOCASE, up TEXT COLLATE NOCASE REFERENCES tree) STRICT;
             INSERT INTO tree VALUES ('Root', NULL), ('left', 'ROOT'), ('right', 'root')",
        )
        .await;
    get(&server, "/rest/tree?select=name,tree(name)").await.is_refused(
        400,
        "invalid",
        "several ways: up(…), tree!up(…)",
    );
    let tree = get(&server, "/rest/tree?select=name,up(name),under:tree!up(name)&sort_by=name").await.result();
    assert_eq!(
        tree,
        json!([
            {"name": "left", "up": {"name": "Root"}, "under": []},
            {"name": "right", "up": {"name": "Root"}, "under": []},
            {"name": "Root", "up": null, "under": [{"name": "left"}, {"name": "right"}]},
        ])
    );
    server
        .sql(
            "CREATE TABLE line (book INTEGER, who TEXT, note TEXT, FOREIGN KEY (book, who) REFERENCES review);
             INSERT INTO line VALUES (1, 'x', 'n1'), (1, 'a,b/c', 'n2'), (NULL, 'x', 'n3')",
        )
        .await;
    let lines = get(&server, "/rest/line?select=note,review(stars)").await.result();
    assert_eq!(
        lines,
        json!([{"note": "n1", "review": {"stars": 4.5}}, {"note": "n2", "review": {"stars": 3.0}}, {"note": "n3", "review": null}])
    );
}

#[tokio::test]
async fn rows_are_created_changed_replaced_and_deleted() {
    let server = library().await;
    let created =
        send(&server, "POST", "/rest/book", json!({"year": 2020, "cover": "AAE=", "extra": {"a": [1, null]}})).await;
    assert_eq!((created.status, created.revision()), (201, 2));
    assert_eq!(
        created.result(),
        json!({"message": "Resource created successfully", "data": {"id": 4, "title": "untitled", "year": 2020, "writer_id": null,
            "editor_id": null, "cover": {"$blob": "AAE="}, "extra": {"a": [1, null]}}})
    );
    assert_eq!(
        server.sql("SELECT typeof(extra) AS t, extra ->> 'a[1]' AS n FROM book WHERE id = 4").await,
        json!([{"t": "text", "n": null}])
    );
    let both = send(&server, "POST", "/rest/author", json!([{"name": "Cy"}, {"name": "Di", "id": 9}])).await;
    assert_eq!(both.result()["data"], json!([{"id": 3, "name": "Cy"}, {"id": 9, "name": "Di"}]));
    // All or nothing, and it says which.
    let none = send(&server, "POST", "/rest/author", json!([{"name": "Ed"}, {"name": "CY"}])).await;
    none.is_refused(409, "conflict", "UNIQUE constraint failed: author.name");
    assert_eq!((&none.json()["statement"], &none.json()["column"]), (&json!(1), &json!("name")));
    assert_eq!(get(&server, "/rest/author?name=Ed").await.result(), json!([]));

    let changed = send(&server, "PATCH", "/rest/book/4", json!({"year": 2021})).await;
    assert_eq!((changed.status, &changed.result()["message"]), (200, &json!("Resource updated successfully")));
    assert_eq!(changed.result()["data"]["title"], "untitled");
    let changed = send(&server, "PATCH", "/rest/book", json!({"id": 4, "title": "Named"})).await.result();
    assert_eq!((&changed["data"]["title"], &changed["data"]["year"]), (&json!("Named"), &json!(2021)));
    let replaced = send(&server, "PUT", "/rest/book/4", json!({"writer_id": 1})).await;
    assert_eq!(
        replaced.result(),
        json!({"message": "Resource replaced successfully", "data": {"id": 4, "title": "untitled", "year": null, "writer_id": 1,
            "editor_id": null, "cover": null, "extra": null}})
    );
    let gone = server.send(Request::new("DELETE", "/rest/book/4")).await;
    assert_eq!((gone.status, gone.result()), (200, json!({"message": "Resource deleted successfully"})));
    for (method, body) in [("PATCH", json!({"year": 1})), ("PUT", json!({"year": 1})), ("DELETE", json!(null))] {
        send(&server, method, "/rest/book/4", body).await.is_refused(404, "not_found", "There is no such row in book.");
    }
    let moved = send(&server, "PATCH", "/rest/review/2,x", json!({"who": "y"})).await.result();
    assert_eq!(moved["data"], json!({"book": 2, "who": "y", "stars": 5.0}));

    let upsert = "/rest/author?on_conflict=name";
    let kept = send(&server, "POST", upsert, json!([{"name": "ADA"}, {"name": "Fy", "id": 20}])).await;
    assert_eq!(kept.result()["data"], json!([{"id": 1, "name": "ADA"}, {"id": 20, "name": "Fy"}]));
    let kept =
        send(&server, "POST", "/rest/review?on_conflict=book,who", json!({"book": 1, "who": "x", "stars": 1})).await;
    assert_eq!(kept.result()["data"]["stars"], 1.0);
    send(&server, "POST", "/rest/author?on_conflict=nothing", json!({"name": "x"})).await.is_refused(
        400,
        "invalid",
        "no column",
    );
    send(&server, "POST", "/rest/book?on_conflict=title", json!({"title": "x"})).await.is_refused(
        400,
        "invalid",
        "ON CONFLICT",
    );

    let again = || Request::new("POST", "/rest/author").json(json!({"name": "Once"})).header("Idempotency-Key", "k");
    let first = server.send(again()).await;
    let second = server.send(again()).await;
    assert_eq!((first.body.clone(), second.header("idempotent-replayed")), (second.body.clone(), Some("true")));
    let refused = || Request::new("POST", "/rest/author").json(json!({"name": "Once"})).header("Idempotency-Key", "k2");
    let first = server.send(refused()).await;
    first.is_refused(409, "conflict", "UNIQUE");
    assert_eq!(server.send(refused()).await.json(), first.json());
}

#[tokio::test]
async fn what_cannot_be_stored_names_its_column() {
    let server = library().await;
    server
        .sql(
            "CREATE TABLE strict (id INTEGER PRIMARY KEY, n INTEGER NOT NULL, t TEXT, r REAL, CONSTRAINT \"n is even\" CHECK (n % 2 = 0)) STRICT;
             CREATE TABLE odd (id INTEGER PRIMARY KEY, made AS (id + 1), flag BOOLEAN, any)",
        )
        .await;
    for (table, body, status, column, words) in [
        ("book", json!({"title": null}), 409, "title", "NOT NULL constraint failed: book.title"),
        ("book", json!({"year": 0}), 409, "year", "CHECK constraint failed: year > 0"),
        ("book", json!({"year": "soon"}), 400, "year", "a whole number of 64 bits"),
        ("book", json!({"year": 1.5}), 400, "year", "a whole number of 64 bits"),
        ("book", json!({"year": {"a": 1}}), 400, "year", "not declared to hold JSON"),
        ("book", json!({"title": ["a"]}), 400, "title", "not declared to hold JSON"),
        ("book", json!({"cover": "!"}), 400, "cover", "base64"),
        ("book", json!({"nothing": 1}), 400, "nothing", "There is no column \"nothing\" in book."),
        ("book", json!({"writer_id": 77}), 409, "writer_id", "FOREIGN KEY constraint failed"),
        ("book", json!({"writer_id": 1, "editor_id": 77}), 409, "editor_id", "FOREIGN KEY constraint failed"),
        ("review", json!({"book": 1, "who": "x"}), 409, "book,who", "UNIQUE constraint failed"),
        ("author", json!({"id": 1, "name": "new"}), 409, "id", "UNIQUE constraint failed: author.id"),
        ("strict", json!({"id": 1}), 409, "n", "NOT NULL constraint failed"),
        ("strict", json!({"n": 3}), 409, "n", "CHECK constraint failed: n is even"),
        ("strict", json!({"n": 2, "r": "x"}), 400, "r", "a number"),
        ("odd", json!({"made": 1}), 400, "made", "is generated"),
        ("odd", json!({"flag": "yes"}), 400, "flag", "true or false"),
        ("odd", json!({"any": {"a": 1}}), 400, "any", "not declared to hold JSON"),
    ] {
        let answer = send(&server, "POST", &format!("/rest/{table}"), body.clone()).await;
        let code = if status == 400 { "invalid" } else { "conflict" };
        answer.is_refused(status, code, words);
        assert_eq!(answer.json()["column"], column, "{table} {body}");
    }
    let broken = async |body: &str| server.send(Request::new("POST", "/rest/book").body(body)).await;
    for (body, words) in [
        ("", "no JSON"),
        ("{", "no JSON"),
        ("NaN", "no JSON"),
        ("5", "Invalid data format"),
        ("[5]", "Invalid data format"),
        ("[[]]", "Invalid data format"),
        ("null", "Invalid data format"),
        ("[]", "No data provided"),
        ("{}", "No data provided"),
        ("[{}]", "No data provided"),
        ("{\"year\": NaN}", "no JSON"),
        ("{\"year\": 1e999}", "a number that fits"),
        ("{\"year\": 9223372036854775808}", "a whole number of 64 bits"),
        ("{\"year\": 1, \"YEAR\": 2}", "given twice"),
        ("{\"year\": 1, \"year\": 1}", "given twice"),
        ("{\"title\": \"\\ud800\"}", "a text that is Unicode"),
        ("{\"year\": 1} x", "no JSON"),
    ] {
        broken(body).await.is_refused(400, "invalid", words);
    }
    broken(&format!("{{\"extra\": {}{}}}", "[".repeat(5000), "]".repeat(5000)))
        .await
        .is_refused(400, "invalid", "nested");
    server
        .send(Request::new("POST", "/rest/book").body(b"{\"title\": \"\xff\"}".to_vec()))
        .await
        .is_refused(400, "invalid", "UTF-8");
    for (method, path, body, words) in [
        ("POST", "/rest/book/1", json!({"year": 1}), "POST to the table"),
        ("POST", "/rest/book?upsert=1", json!({"year": 1}), "does not know the parameter \"upsert\""),
        ("PATCH", "/rest/book/1?year=1", json!({"year": 1}), "does not know the parameter"),
        ("PATCH", "/rest/book/1", json!([{"year": 1}]), "Invalid data format"),
        ("PATCH", "/rest/book/1", json!({}), "No data provided"),
        ("PATCH", "/rest/book", json!({"year": 1}), "Missing primary key value for 'id'"),
        ("PATCH", "/rest/book", json!({"id": 1}), "No updatable data provided"),
        ("PUT", "/rest/review", json!({"book": 1}), "Missing primary key value for 'book,who'"),
        ("DELETE", "/rest/book", json!(null), "Missing primary key value for 'id'"),
        ("DELETE", "/rest/book?id=1", json!(null), "does not know the parameter \"id\""),
    ] {
        send(&server, method, path, body).await.is_refused(400, "invalid", words);
    }
    send(&server, "PATCH", "/rest", json!({})).await.is_refused(400, "invalid", "Expected a table name in the path");
    assert_eq!(server.send(Request::new("OPTIONS", "/rest/book")).await.status, 204);
    assert_eq!(server.send(Request::new("TRACE", "/rest/book")).await.status, 405);
    // Digit for digit.
    let big = "{\"year\": 9223372036854775807, \"title\": \"a\\u0000b\"}";
    let made = broken(big).await;
    assert!(String::from_utf8_lossy(&made.body).contains("\"year\":9223372036854775807"), "{}", made.text());
    assert_eq!(made.result()["data"]["title"], "a\0b");
    assert_eq!(get(&server, "/rest/book?title=a%00b").await.result().as_array().unwrap().len(), 1);
    let exact = get(&server, "/rest/book?select=year&year=9223372036854775807").await;
    assert_eq!(String::from_utf8_lossy(&exact.body), "{\"result\":[{\"year\":9223372036854775807}]}");
}

/// Names that are SQL, and names that mean something in an address.
#[tokio::test]
async fn no_name_and_no_value_becomes_sql() {
    let server = Server::start().await;
    server
        .sql(
            "CREATE TABLE \"select \"\"x\" (\"order\" INTEGER PRIMARY KEY, \"limit\" TEXT, \"col.eq\" TEXT, \"col\" TEXT, \"a,b(c)\" TEXT,
               \"'; DROP TABLE kept; --\" TEXT, \"auth\" TEXT, \"$_exclude\" TEXT, \"ü\" TEXT, \"?1\" TEXT);
             CREATE TABLE kept (id INTEGER PRIMARY KEY); INSERT INTO kept VALUES (1);
             CREATE TABLE \"main\" (\"book\" TEXT PRIMARY KEY); INSERT INTO \"main\" VALUES ('kept'), ('other');
             CREATE VIRTUAL TABLE words USING fts5 (word, other)",
        )
        .await;
    let table = "/rest/select%20%22x";
    let row = json!({"order": 5, "limit": "l", "col.eq": "ce", "col": "c", "a,b(c)": "abc", "'; DROP TABLE kept; --": "d",
        "auth": "u", "$_exclude": "e", "ü": "ü", "?1": "q"});
    assert_eq!(send(&server, "POST", table, row.clone()).await.result()["data"], row);
    for query in [
        "",
        "limit.eq=l",
        "order.eq=5",
        "col.eq=ce",
        "col.eq.eq=ce",
        "col.in=c",
        "a,b(c)=abc",
        "%27%3B%20DROP%20TABLE%20kept%3B%20--=d",
        "auth=u",
        "$_exclude=e",
        "%C3%BC=%C3%BC",
        "%3F1=q",
        "sort_by=%22a,b(c)%22,limit&order=desc",
        "select=*",
    ] {
        assert_eq!(get(&server, &format!("{table}?{query}")).await.result(), json!([row]), "{query}");
    }
    assert_eq!(get(&server, &format!("{table}?col.eq=c")).await.result(), json!([]));
    let some = get(
        &server,
        &format!("{table}?select=%22a,b(c)%22,n:%22'; DROP TABLE kept; --%22&limit=1").replace(' ', "%20"),
    )
    .await;
    assert_eq!(some.result(), json!([{"a,b(c)": "abc", "n": "d"}]));
    assert_eq!(get(&server, &format!("{table}/5")).await.result(), row);
    let patched = send(&server, "PATCH", &format!("{table}/5"), json!({"a,b(c)": "'\"; --"})).await;
    assert_eq!(patched.result()["data"]["a,b(c)"], "'\"; --");
    send(&server, "POST", &format!("{table}?on_conflict=order"), json!({"order": 5, "?1": "r"})).await.result();
    for injected in [
        "/rest/kept%22%20UNION%20SELECT%20*%20FROM%20_tide_meta%20--",
        "/rest/kept?id)%20OR%201=1",
        "/rest/kept?select=id)%20FROM%20_tide_meta--",
        "/rest/kept?select=%22id%22%22%20FROM%20_tide_meta--%22",
        "/rest/kept?sort_by=id%20DESC%3B%20DROP%20TABLE%20kept",
        "/rest/kept?sort_by=(SELECT%201)",
        "/rest/kept?limit=1%20UNION%20SELECT%201",
        "/rest/kept/1%20OR%201=1",
        "/rest/kept?id=1%20OR%201=1",
    ] {
        let answer = get(&server, injected).await;
        assert!([400, 404].contains(&answer.status), "{injected}: {}", answer.text());
    }
    send(&server, "POST", "/rest/kept?on_conflict=id)%20DO%20NOTHING%3B%20--", json!({"id": 1}))
        .await
        .is_refused(400, "invalid", "");
    send(&server, "POST", "/rest/kept", json!({"id) VALUES (7); --": 1})).await.is_refused(
        400,
        "invalid",
        "There is no column",
    );
    assert_eq!(server.sql("SELECT count(*) AS n FROM kept").await, json!([{"n": 1}]));
    // A table may be called like the schema.
    assert_eq!(get(&server, "/rest/main").await.result().as_array().unwrap().len(), 2);
    assert_eq!(get(&server, "/rest/main/kept").await.result(), json!([{"id": 1}]));
    assert_eq!(get(&server, "/rest/main/other").await.result(), json!({"book": "other"}));
    assert_eq!(get(&server, "/rest/main/main/kept").await.result(), json!({"book": "kept"}));

    send(&server, "POST", "/rest/words", json!({"word": "hello", "other": "there"})).await.result();
    assert_eq!(get(&server, "/rest/words?word=hello").await.result(), json!([{"word": "hello", "other": "there"}]));
    get(&server, "/rest/words/1").await.is_refused(400, "invalid", "No primary key");
    send(&server, "DELETE", "/rest/words/1", json!(null)).await.is_refused(400, "invalid", "No primary key");
    send(&server, "POST", "/rest/words_data", json!({"id": 1})).await.is_refused(
        400,
        "invalid",
        "can be read, not written",
    );
    // The engine's own tables can be read by the administrator, and no more.
    assert_eq!(get(&server, "/rest/_tide_meta/version").await.status, 200);
    send(&server, "POST", "/rest/_tide_meta", json!({"name": "x", "value": 1})).await.is_refused(
        403,
        "forbidden",
        "kept by Tidebase",
    );
    server.send(Request::new("DELETE", "/rest/_tide_meta/version")).await.is_refused(
        403,
        "forbidden",
        "kept by Tidebase",
    );
}

#[tokio::test]
async fn what_rest_writes_every_other_face_sees() {
    let server = library().await;
    let mut live = server.live().await;
    live.send(json!({"id": 1, "action": "subscribe", "sql": "SELECT id, name FROM author WHERE id > 2"})).await;
    assert_eq!(live.next().await["rows"], json!([]));
    send(&server, "POST", "/rest/author", json!({"name": "Eve"})).await.result();
    let delta = live.next().await;
    assert_eq!(delta["queries"][0]["insert"][0][2], "Eve", "{delta}");
    server.sql("ALTER TABLE author ADD COLUMN age INTEGER DEFAULT 7").await;
    assert_eq!(get(&server, "/rest/author/3").await.result(), json!({"id": 3, "name": "Eve", "age": 7}));
    server.home.outside().execute_batch("ALTER TABLE author RENAME COLUMN age TO years").unwrap();
    // The next commit notices what another program did.
    server.sql("DELETE FROM review").await;
    assert_eq!(get(&server, "/rest/author/3").await.result()["years"], 7);
}
