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
    /// Runs, as a whole or by parts, and what they took together.
    pub runs: u64,
    pub took: Duration,
    /// Has every table a way by which a changed row finds its queries?
    pub is_found_by_value: bool,
    pub is_read_by_parts: bool,
}
