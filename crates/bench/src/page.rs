//! The benchmark page: the report's tables between what was measured, where, when and how. Targets that were missed
//! come first, because they are what a reader would otherwise have to look for.

use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::cli::Settings;
use crate::procfs;
use crate::report::Report;

/// Taken before the first load.
pub struct Conditions {
    date: String,
    machine: String,
    load_average: String,
    server: String,
    peer: Option<String>,
    seconds: u64,
    rows: u64,
}

impl Conditions {
    pub fn now(settings: &Settings) -> Self {
        let days = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / 86_400);
        Self {
            date: date(days),
            machine: procfs::machine(),
            load_average: procfs::load_average(),
            server: settings.server().map_or_else(|_| "no server".to_owned(), version),
            peer: settings.pocketbase.as_deref().map(version),
            seconds: settings.window.as_secs(),
            rows: settings.rows,
        }
    }
}

/// What differs between the pages.
pub struct Page {
    title: &'static str,
    measure: &'static str,
    picture: &'static str,
    how: fn(u64, u64) -> String,
}

pub const ALL: Page = Page { title: "Benchmarks", measure: "all", picture: "", how };
pub const LIVE: Page = Page {
    title: "Live queries in great number",
    measure: "scale",
    picture: "![CPU of the matcher for each write, by the number of live queries](flat.svg)\n\n",
    how: how_live,
};

pub fn markdown(conditions: &Conditions, report: &Report, page: &Page) -> String {
    let judged = report.figures.iter().filter(|figure| figure.target.is_some()).count();
    let missed = report.missed();
    let Conditions { date, machine, load_average, server, seconds, rows, .. } = conditions;
    let peer = conditions.peer.as_deref().map(|peer| format!(", beside {peer}")).unwrap_or_default();
    let remarks = match report.remarks.join("\n- ") {
        none if none.is_empty() => none,
        some => format!("\n## Remarks\n\n- {some}\n"),
    };
    format!(
        "# {}\n\n\
         {date} · {server}{peer} · {machine} · load average before the run {load_average}\n\n\
         **{} of {judged} targets met, {missed} missed.** Made by `tidebase-bench {} --out FILE`; not edited.\n\n{}\
         ## Figures\n\n{}\n\
         ## Loads\n\n{}\n\
         ## How\n\n{}{remarks}",
        page.title,
        judged - missed,
        page.measure,
        page.picture,
        report.figure_table().markdown(),
        report.load_table().markdown(),
        (page.how)(*seconds, *rows),
    )
}

fn how(seconds: u64, rows: u64) -> String {
    format!(
        "- The real server binary as a child process, a new database for each measurement, loopback, no TLS. Load \
           generator and server share the cores, so **server CPU per operation** (user and system time of the server \
           process) is the figure to trust; rates are higher when clients run elsewhere. *Others* is the share of all \
           cores that neither the server nor the generator used: the higher, the less the latencies mean.\n\
         - Each load is a closed loop over keep-alive connections: {seconds} s after 1 s of warm-up. Percentiles are \
           samples by nearest rank, nothing is interpolated. Any refused request fails the measurement.\n\
         - Point read: one row of six columns by key from {rows} rows, `POST /query`, as admin.\n\
         - Insert: `POST /query` with three bound values; answered after the fsync. Afterwards every acknowledged row \
           was counted in the table.\n\
         - 1000-row JSON: bytes of bodies by server CPU time, SQLite's scan and HTTP included, uncompressed. MB are 10^6 \
           bytes.\n\
         - Delta: from before the insert is sent to the delta on a WebSocket; the target is two fdatasync of 4 KiB, \
           measured in the same run on the same disk, and 1 ms.\n\
         - Subscribers: all of one query, one socket each. An insert counts as told when every subscriber was sent a \
           delta that covers it. The paced inserts begin 50 ms apart; back to back, the next begins when the last is \
           answered.\n\
         - Idle socket: growth of the server's resident memory; kernel memory is not counted.\n\
         - Start: from spawn to the first answered query over HTTP. The write-ahead log is what the crash left.\n\
         - PocketBase: same machine, same run, same generator, its default settings (its commits are not fsynced), no \
           access rule to check (and, by its name, one that lets every row through), records of the same content; its realtime is Server-Sent Events.\n"
    )
}

fn how_live(seconds: u64, _: u64) -> String {
    format!(
        "- The real server binary as a child process, a new database for each measurement, loopback, no TLS, the load on \
           the same cores. **CPU** is the figure to trust. The *writer* is the \
           thread that commits, and looks whether a change may matter to a live query; the *matcher* is the one that keeps \
           quick live queries true.\n\
         - Flat: live queries of four shapes in equal parts (rows of a value, a join, groups with counts, a range), each with \
           values of its own, a hundred or more a socket; single rows of one and the same large table are \
           updated for {seconds} s by one client, each number \
           of queries in its turn, several rounds; the median of the rounds. With no query at all nothing is \
           affected, whatever is written. An unrelated write changes a row that nobody asks for; an affected one a row that one query \
           asks for, which opens a snapshot, reads and sends.\n\
         - Reach: from before a write is sent to the last frame that tells of it; beyond the disk's: less the p99 of \
           fdatasync in the same run. Of 100 writes or fewer, so the p99 is the worst or the one before.\n\
         - Storm: 10,000 sockets with 10 queries of 10 rows (some 150 bytes each as JSON) come at once, are cut, one row in a \
           hundred changes, and they come back with what they know. Bytes are those of frames, of all rows the first time.\n\
         - Transfer: two updates in a transaction, answered after the fsync; accounts by a zipf distribution of 1.5; with and without live \
           balances in turns, the median of the rounds.\n\
         - A message to listeners: raw sockets that only count, the same for each server; Redis and NATS as Debian packages, \
           their default settings, nothing stored. The servers take turns; the median of the rounds.\n"
    )
}

/// The first line of `program --version`.
fn version(program: &Path) -> String {
    let output = Command::new(program).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let first = text.lines().next().unwrap_or_default().trim();
    if first.is_empty() { "a version that does not tell its name".to_owned() } else { first.to_owned() }
}

/// Days since 1970 as `YYYY-MM-DD`, by counting eras of 400 years that begin in March.
fn date(days: u64) -> String {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_follow_the_calendar() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(11_016), "2000-02-29");
        assert_eq!(date(11_017), "2000-03-01");
        assert_eq!(date(20_453), "2025-12-31");
        assert_eq!(date(20_454), "2026-01-01");
    }

    #[test]
    fn the_page_counts_what_was_missed() {
        let mut report = Report::default();
        report.judged("start", 60.0, "ms", crate::targets::START);
        report.judged("start again", 40.0, "ms", crate::targets::START);
        report.remarks.push("Not measured: the moon".into());
        let conditions = Conditions {
            date: date(0),
            machine: "2 cores".into(),
            load_average: "0.1".into(),
            server: "tidebase 0".into(),
            peer: Some("peer 1".into()),
            seconds: 5,
            rows: 10,
        };
        let page = markdown(&conditions, &report, &ALL);
        for part in
            ["**1 of 2 targets met, 1 missed.**", "tidebase 0, beside peer 1", "MISSED", "- Not measured: the moon"]
        {
            assert!(page.contains(part), "{part} is not in\n{page}");
        }
    }
}
