//! What a run has found: loads with their costs, single figures with their targets, and remarks. Printed as aligned
//! tables, as JSON, or as the Markdown that `page.rs` puts a frame around.

use std::time::Duration;

use serde_json::{Value, json};

use crate::latency::{Latencies, Summary};
use crate::procfs::Spent;
use crate::table::Table;
use crate::targets::Target;

#[derive(Debug, Default)]
pub struct Report {
    pub loads: Vec<Load>,
    pub figures: Vec<Figure>,
    pub remarks: Vec<String>,
}

/// One load against one server.
#[derive(Debug, Clone)]
pub struct Load {
    /// The same words for every server, so that they can be compared.
    pub name: String,
    pub server: &'static str,
    pub operations: u64,
    pub spent: Spent,
    pub latency: Summary,
}

/// One number, and what it must reach if it must.
#[derive(Debug, Clone)]
pub struct Figure {
    pub name: String,
    pub server: &'static str,
    pub value: f64,
    pub unit: &'static str,
    pub target: Option<Target>,
}

impl Load {
    pub fn new(name: impl Into<String>, server: &'static str, latencies: &Latencies, spent: Spent) -> Self {
        let operations = latencies.len() as u64;
        Self { name: name.into(), server, operations, spent, latency: latencies.summary() }
    }

    pub fn per_second(&self) -> f64 {
        ratio(self.operations as f64, self.spent.wall.as_secs_f64())
    }

    /// µs of server CPU an operation.
    pub fn server_cpu(&self) -> f64 {
        ratio(self.spent.server.as_secs_f64() * 1e6, self.operations as f64)
    }

    fn generator_cpu(&self) -> f64 {
        ratio(self.spent.generator.as_secs_f64() * 1e6, self.operations as f64)
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name, "server": self.server, "operations": self.operations,
            "seconds": self.spent.wall.as_secs_f64(), "operations_per_second": self.per_second(),
            "server_cpu_us": self.server_cpu(), "generator_cpu_us": self.generator_cpu(),
            "p50_ms": ms(self.latency.p50), "p95_ms": ms(self.latency.p95),
            "p99_ms": ms(self.latency.p99), "max_ms": ms(self.latency.max),
            "others_share": self.spent.others,
        })
    }
}

impl Figure {
    fn json(&self) -> Value {
        json!({
            "name": self.name, "server": self.server, "value": self.value, "unit": self.unit,
            "target": self.target.map(bound), "met": self.target.map(|target| target.met(self.value)),
        })
    }
}

impl Report {
    pub fn figure(&mut self, name: impl Into<String>, server: &'static str, value: f64, unit: &'static str) {
        self.figures.push(Figure { name: name.into(), server, value, unit, target: None });
    }

    pub fn judged(&mut self, name: impl Into<String>, value: f64, unit: &'static str, target: Target) {
        let server = crate::tidebase::NAME;
        self.figures.push(Figure { name: name.into(), server, value, unit, target: Some(target) });
    }

    /// How often the peer's CPU for an operation exceeds ours, for each load both have done.
    pub fn compare(&mut self, peer: &'static str, names: &[&str]) {
        for &name in names {
            let find = |server| self.loads.iter().find(|load| load.server == server && load.name == name);
            let (Some(ours), Some(theirs)) = (find(crate::tidebase::NAME), find(peer)) else { continue };
            let value = ratio(theirs.server_cpu(), ours.server_cpu());
            self.judged(format!("{name}: CPU of {peer}, ours = 1"), value, "x", crate::targets::PEER_RATIO);
        }
    }

    pub fn missed(&self) -> usize {
        self.figures.iter().filter(|one| one.target.is_some_and(|target| !target.met(one.value))).count()
    }

    pub fn text(&self) -> String {
        let tables = [self.load_table(), self.figure_table()];
        let mut parts: Vec<String> = tables.iter().filter(|table| !table.is_empty()).map(Table::aligned).collect();
        parts.push(self.remarks.join("\n"));
        parts.join("\n")
    }

    pub fn json(&self) -> Value {
        json!({
            "loads": self.loads.iter().map(Load::json).collect::<Vec<_>>(),
            "figures": self.figures.iter().map(Figure::json).collect::<Vec<_>>(),
            "remarks": self.remarks,
        })
    }

    pub fn load_table(&self) -> Table {
        let header = [
            "load",
            "server",
            "operations",
            "per second",
            "server CPU µs",
            "generator CPU µs",
            "p50 ms",
            "p95 ms",
            "p99 ms",
            "max ms",
            "others",
        ];
        let mut table = Table::new(2, &header);
        for load in &self.loads {
            let latency = load.latency;
            let mut cells = vec![load.name.clone(), load.server.to_owned(), number(load.operations as f64)];
            cells.extend([load.per_second(), load.server_cpu(), load.generator_cpu()].map(number));
            cells.extend([latency.p50, latency.p95, latency.p99, latency.max].map(|one| number(ms(one))));
            cells.push(format!("{:.0} %", load.spent.others * 100.0));
            table.row(cells);
        }
        table
    }

    pub fn figure_table(&self) -> Table {
        let mut table = Table::new(2, &["figure", "server", "value", "target", "verdict"]);
        for figure in &self.figures {
            let value = format!("{} {}", number(figure.value), figure.unit);
            let verdict = match figure.target {
                None => "",
                Some(target) if target.met(figure.value) => "met",
                Some(_) => "MISSED",
            };
            let target = figure.target.map(bound).unwrap_or_default();
            table.row(vec![figure.name.clone(), figure.server.to_owned(), value, target, verdict.to_owned()]);
        }
        table
    }
}

pub fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// 0 rather than infinity where nothing was counted.
pub fn ratio(value: f64, of: f64) -> f64 {
    if of > 0.0 { value / of } else { 0.0 }
}

/// The upper one of two in the middle; 0 of nothing.
pub fn median(rounds: &[f64]) -> f64 {
    let mut sorted = rounds.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

fn bound(target: Target) -> String {
    match target {
        Target::AtMost(limit) => format!("≤ {}", number(limit)),
        Target::AtLeast(limit) => format!("≥ {}", number(limit)),
    }
}

/// As many decimals as make about three digits, thousands set apart.
pub fn number(value: f64) -> String {
    let decimals = match value.abs() {
        _ if value.fract() == 0.0 => 0,
        small if small < 1.0 => 3,
        small if small < 10.0 => 2,
        small if small < 100.0 => 1,
        _ => 0,
    };
    if decimals > 0 {
        return format!("{value:.decimals$}");
    }
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(server: &'static str, cpu: Duration) -> Load {
        let spent = Spent { wall: Duration::from_secs(2), server: cpu, ..Spent::default() };
        Load::new("point read", server, &(0..1000).map(|_| Duration::from_micros(250)).collect(), spent)
    }

    #[test]
    fn numbers_are_short_and_grouped() {
        let written: Vec<String> = [0.0, 0.256, 7.0, 14.13, 99.96, 100.4, 15_000.0, 1_234_567.0].map(number).into();
        assert_eq!(written, ["0", "0.256", "7", "14.1", "100.0", "100", "15,000", "1,234,567"]);
    }

    #[test]
    fn a_load_knows_its_cost() {
        let load = load("Tidebase", Duration::from_millis(20));
        assert!((load.server_cpu() - 20.0).abs() < 1e-9 && (load.per_second() - 500.0).abs() < 1e-9);
    }

    #[test]
    fn a_missed_target_is_said_aloud() {
        let mut report = Report::default();
        report.judged("point read, CPU", 21.0, "µs", crate::targets::POINT_READ_CPU);
        assert!(report.text().contains("MISSED"), "{}", report.text());
        assert_eq!((report.missed(), &report.json()["figures"][0]["met"]), (1, &Value::Bool(false)));
    }

    #[test]
    fn peers_are_compared_by_the_name_of_the_load() {
        let loads = vec![load("Tidebase", Duration::from_millis(20)), load("Peer", Duration::from_millis(120))];
        let mut report = Report { loads, ..Report::default() };
        report.compare("Peer", &["point read", "never run"]);
        assert_eq!(report.figures.len(), 1);
        assert!((report.figures[0].value - 6.0).abs() < 1e-9);
    }
}
