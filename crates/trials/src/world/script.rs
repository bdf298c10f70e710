//! A world as a script to be read, and to be tried by hand.

use super::request::{Form, Request, Statement};
use super::values::literal;
use super::{Event, Held, World};
use std::fmt::Write as _;
use tidebase_engine::{Limits, Value};

/// Everything that happens, in order.
pub fn script(world: &World) -> String {
    let mut out = String::new();
    let normal = Limits::default();
    let limits = &world.limits;
    for (name, value, usual) in [
        ("change_rows_max", limits.change_rows_max, normal.change_rows_max),
        ("group_history_bytes_max", limits.group_history_bytes_max, normal.group_history_bytes_max),
        ("rows_chunk_bytes", limits.rows_chunk_bytes, normal.rows_chunk_bytes),
        ("log_bytes_max", limits.log_bytes_max as usize, normal.log_bytes_max as usize),
        ("wal_checkpoint_bytes", limits.wal_checkpoint_bytes as usize, normal.wal_checkpoint_bytes as usize),
        ("live_frames_in_flight_max", limits.live_frames_in_flight_max, normal.live_frames_in_flight_max),
        ("group_linger (s)", limits.group_linger.as_secs() as usize, normal.group_linger.as_secs() as usize),
        (
            "live_quick_time_max (ms)",
            limits.live_quick_time_max.as_millis() as usize,
            normal.live_quick_time_max.as_millis() as usize,
        ),
    ] {
        if value != usual {
            writeln!(out, "-- limit: {name} = {value}").expect("writing to memory");
        }
    }
    for sql in &world.setup {
        writeln!(out, "{sql};").expect("writing to memory");
    }
    for (index, event) in world.events.iter().enumerate() {
        writeln!(out, "{}", line(world, event).replace("{index}", &index.to_string())).expect("writing to memory");
    }
    out
}

fn line(world: &World, event: &Event) -> String {
    let query = |held: &Held| {
        let query = &world.queries[held.query];
        let params = shown(&query.params);
        format!(
            "session {}: q{}{}: {}{params}",
            held.session,
            held.query,
            if held.is_twin { " twin" } else { "" },
            query.sql()
        )
    };
    match event {
        Event::Request(request) => requested(request),
        Event::Batch(requests) => {
            let all: Vec<String> = requests.iter().map(requested).collect();
            format!("-- without waiting:\n{}\n-- until here", all.join("\n"))
        }
        Event::Outside(statements) => format!("-- another program: BEGIN; {} COMMIT;", joined(statements)),
        Event::Subscribe(held) => format!("-- subscribe, {}", query(held)),
        Event::Unsubscribe(held) => format!("-- unsubscribe, session {}: q{}", held.session, held.query),
        Event::Resume { held, record, is_lie } => {
            format!("-- resume from record {record}{}, {}", if *is_lie { " (a lie)" } else { "" }, query(held))
        }
        Event::Record { query } => format!("-- record q{query}"),
        Event::Listen { session, table } => format!(
            "-- session {session}: subscribe to changes of {}",
            table.map_or("all tables", |table| &world.schema.tables[table].name)
        ),
        Event::Restart { changed } => format!("-- restart; while it is closed, another program: {}", joined(changed)),
        other => format!("-- {other:?}"),
    }
}

fn requested(request: &Request) -> String {
    match request.form {
        Form::Single if request.statements.len() == 1 => joined(&request.statements),
        _ => format!("-- one request ({:?}):\nBEGIN; {} COMMIT;", request.form, joined(&request.statements)),
    }
}

fn joined(statements: &[Statement]) -> String {
    let one = |statement: &Statement| format!("{};{}", statement.sql(), shown(&statement.params));
    statements.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn shown(params: &[Value]) -> String {
    if params.is_empty() {
        String::new()
    } else {
        format!(" /* {} */", params.iter().map(literal).collect::<Vec<_>>().join(", "))
    }
}
