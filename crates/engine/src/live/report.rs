//! What a lane tells of itself, for `/status/live`.

use crate::changes::change::Revision;
use std::time::Duration;

/// Templates told one by one: those that cost the most.
pub const TEMPLATES_TOLD_MAX: usize = 100;

#[derive(Debug)]
pub struct LaneReport {
    pub lane: usize,
    /// The revision at which its results stand.
    pub revision: Revision,
    pub sockets: usize,
    pub groups: usize,
    pub templates: usize,
    /// The dearest first.
    pub dearest: Vec<TemplateReport>,
}

#[derive(Debug)]
pub struct TemplateReport {
    pub sql: String,
    /// Sets of parameters that are asked.
    pub groups: usize,
    pub runs: Runs,
    /// What they took together.
    pub took: Duration,
    /// Has every table a way by which a changed row finds its queries?
    pub is_found_by_value: bool,
    pub is_read_by_parts: bool,
    /// Is what changed for many callers read once for all of them?
    pub is_read_for_all: bool,
}

/// How much one run reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// All of one result.
    Whole,
    /// The parts of one result that may have changed.
    Parts,
    /// Nothing but the changed rows, for one count or sum.
    Counted,
    /// One changed row for many callers, whom the template's policies tell apart.
    ForAll,
}

/// Runs since the template came, first rows aside.
#[derive(Clone, Copy, Debug, Default)]
pub struct Runs {
    pub whole: u64,
    pub parts: u64,
    pub counted: u64,
    pub for_all: u64,
}

impl Runs {
    pub fn note(&mut self, run: Run) {
        *match run {
            Run::Whole => &mut self.whole,
            Run::Parts => &mut self.parts,
            Run::Counted => &mut self.counted,
            Run::ForAll => &mut self.for_all,
        } += 1;
    }

    pub fn sum(&self) -> u64 {
        self.whole + self.parts + self.counted + self.for_all
    }
}
