//! What Linux knows of a process: CPU time and resident memory, and how busy the whole machine was meanwhile.
//!
//! CPU time has a granularity of one clock tick (10 ms as a rule), so loads run for seconds. Kernel work done for a
//! process (sockets, fsync) counts as its time; work in interrupts does not and shows up under "others".

use std::fs::read_to_string;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// User and system time of a process since it began, all threads together.
pub fn cpu(pid: u32) -> Result<Duration> {
    let stat = read_to_string(format!("/proc/{pid}/stat")).context("reading the CPU time of a process")?;
    let ticks = process_ticks(&stat).context("/proc/PID/stat has an unknown form")?;
    Ok(from_ticks(ticks))
}

/// CPU time of a process's thread whose name ends so, to the nanosecond.
pub fn thread_cpu(pid: u32, name: &str) -> Result<Duration> {
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).context("listing the threads of a process")? {
        let task = task?.path();
        if read_to_string(task.join("comm"))?.trim_end().ends_with(name) {
            let stat = read_to_string(task.join("schedstat")).context("reading the CPU time of a thread")?;
            let nanos = stat.split(' ').next().and_then(|field| field.parse().ok());
            return Ok(Duration::from_nanos(nanos.context("/proc/PID/task/TID/schedstat has an unknown form")?));
        }
    }
    anyhow::bail!("the server has no thread {name}")
}

/// CPU time of all threads of a process that live, to the nanosecond.
pub fn all_threads_cpu(pid: u32) -> Result<Duration> {
    let mut all = 0_u64;
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).context("listing the threads of a process")? {
        // One that ends in between is not counted.
        let Ok(stat) = read_to_string(task?.path().join("schedstat")) else { continue };
        let nanos: Option<u64> = stat.split(' ').next().and_then(|field| field.parse().ok());
        all += nanos.context("/proc/PID/task/TID/schedstat has an unknown form")?;
    }
    Ok(Duration::from_nanos(all))
}

/// Resident memory of a process in bytes.
pub fn resident_bytes(pid: u32) -> Result<u64> {
    let status = read_to_string(format!("/proc/{pid}/status")).context("reading the memory of a process")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS line")?;
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse().context("VmRSS is no number")?;
    Ok(kibibytes * 1024)
}

/// Time all cores together were not idle, since boot.
fn machine_busy() -> Result<Duration> {
    let stat = read_to_string("/proc/stat").context("reading the machine's CPU time")?;
    Ok(from_ticks(busy_ticks(&stat).context("/proc/stat has an unknown form")?))
}

pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The machine as one line of the page: processor, cores, memory, kernel.
pub fn machine() -> String {
    let field = |path: &str, name: &str| {
        let text = read_to_string(path).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim_start_matches([':', ' ', '\t']).trim().to_owned()
    };
    let memory: u64 = field("/proc/meminfo", "MemTotal").trim_end_matches("kB").trim().parse().unwrap_or(0);
    let release = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    // What a distribution adds to the version says nothing about speed.
    let kernel = release.trim().split('-').next().unwrap_or_default();
    let processor = field("/proc/cpuinfo", "model name");
    format!("{} cores ({processor}), {} GiB, Linux {kernel}", cores(), memory >> 20)
}

/// The load average of the last minute: how much others wanted this machine.
pub fn load_average() -> String {
    let text = read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("unknown").to_owned()
}

/// Fields 14 and 15, counted after the process name, which may itself hold blanks and brackets.
fn process_ticks(stat: &str) -> Option<u64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
}

/// user, nice, system, idle, iowait, irq, softirq, steal: all but idle and iowait.
fn busy_ticks(stat: &str) -> Option<u64> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let fields: Vec<u64> = line.split_whitespace().take(8).filter_map(|field| field.parse().ok()).collect();
    Some(fields.iter().sum::<u64>() - fields.get(3)? - fields.get(4)?)
}

fn from_ticks(ticks: u64) -> Duration {
    Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// A stopwatch on the server, on this program and on everyone else.
pub struct Meter {
    pid: u32,
    started: Instant,
    server: Duration,
    generator: Duration,
    busy: Duration,
}

/// What passed on a [`Meter`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Spent {
    pub wall: Duration,
    pub server: Duration,
    pub generator: Duration,
    /// Share of all cores that neither the server nor this program used, 0 to 1.
    pub others: f64,
}

impl Meter {
    pub fn start(pid: u32) -> Result<Self> {
        let own = std::process::id();
        Ok(Self { pid, started: Instant::now(), server: cpu(pid)?, generator: cpu(own)?, busy: machine_busy()? })
    }

    pub fn read(&self) -> Result<Spent> {
        let wall = self.started.elapsed();
        let server = cpu(self.pid)?.saturating_sub(self.server);
        let generator = cpu(std::process::id())?.saturating_sub(self.generator);
        let others = machine_busy()?.saturating_sub(self.busy).saturating_sub(server + generator);
        let capacity = wall.as_secs_f64() * cores() as f64;
        Ok(Spent { wall, server, generator, others: (others.as_secs_f64() / capacity).min(1.0) })
    }
}

impl std::ops::AddAssign for Spent {
    fn add_assign(&mut self, other: Self) {
        let (left, right) = (self.wall.as_secs_f64(), other.wall.as_secs_f64());
        if left + right > 0.0 {
            self.others = (self.others * left + other.others * right) / (left + right);
        }
        self.wall += other.wall;
        self.server += other.server;
        self.generator += other.generator;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_a_strange_name() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194304 10 0 0 0 700 55 0 0 20 0 4 0 100";
        assert_eq!(process_ticks(stat), Some(755));
    }

    #[test]
    fn idle_and_waiting_for_disks_are_not_busy() {
        assert_eq!(busy_ticks("cpu  10 1 5 1000 50 2 3 4 9 9\ncpu0 1"), Some(25));
    }

    #[test]
    fn this_process_can_be_read() {
        let own = std::process::id();
        assert!(cpu(own).is_ok() && resident_bytes(own).unwrap() > 100_000);
        assert!(Meter::start(own).unwrap().read().unwrap().others <= 1.0);
    }
}
