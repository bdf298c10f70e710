//! Makes a failing world smaller: leaves out events, statements, rows and words as long as it still fails in the same
//! way.
//!
//! Anything may be left out, for a world forgives what does not work: a statement that fails, fails on both sides.

use crate::live::judge::Stats;
use crate::live::run::{self, Failure};
use crate::world::request::Statement;
use crate::world::{Event, World};
use std::path::Path;
use std::time::{Duration, Instant};
use tidebase_engine::Limits;

/// Frames come at once or never when so little happens.
const PATIENCE: Duration = Duration::from_millis(500);

pub struct Shrink<'a> {
    pub home: Option<&'a Path>,
    pub deadline: Instant,
    /// What failed is tried so often before it counts as mended: more than once if threads have a part in it.
    attempts: usize,
    world: World,
    failure: Failure,
}

/// The smallest world found that fails like this, and how it does.
pub fn shrink(world: World, failure: Failure, home: Option<&Path>, time: Duration) -> (World, Failure) {
    let mut shrink = Shrink { home, deadline: Instant::now() + time, attempts: 1, world, failure };
    shrink.world.events.truncate(shrink.failure.event + 1);
    shrink.attempts = shrink.attempts_needed();
    if shrink.attempts > 0 {
        shrink.go();
    }
    (shrink.world, shrink.failure)
}

/// What is alike in two failures of one cause.
fn kind(failure: &Failure) -> String {
    let first = failure.what.lines().next().unwrap_or_default();
    first.chars().take_while(|&c| c != ':' && c != '"').filter(|c| !c.is_ascii_digit()).collect()
}

impl Shrink<'_> {
    /// None if it never fails again.
    fn attempts_needed(&self) -> usize {
        const TRIES: usize = 12;
        let failures = (0..TRIES / 3).filter(|_| self.fails(&self.world).is_some()).count();
        match failures {
            0 if (0..TRIES * 2).any(|_| self.fails(&self.world).is_some()) => 2 * TRIES,
            0 => 0,
            failures if failures == TRIES / 3 => 1,
            failures => TRIES / failures,
        }
    }

    fn fails(&self, world: &World) -> Option<Failure> {
        let failure = run::run(world, self.home, PATIENCE, &mut Stats::default()).err()?;
        (kind(&failure) == kind(&self.failure)).then_some(failure)
    }

    /// Keeps the world if it still fails.
    fn accept(&mut self, mut world: World) -> bool {
        if Instant::now() >= self.deadline {
            return false;
        }
        let Some(failure) = (0..self.attempts).find_map(|_| self.fails(&world)) else { return false };
        world.events.truncate(failure.event + 1);
        (self.world, self.failure) = (world, failure);
        true
    }

    fn go(&mut self) {
        loop {
            let before = size(&self.world);
            self.lists();
            self.settings();
            self.texts();
            if size(&self.world) >= before || Instant::now() >= self.deadline {
                return;
            }
        }
    }

    fn lists(&mut self) {
        self.leave_out(|world| &mut world.events);
        self.leave_out(|world| &mut world.setup);
        for event in 0..self.world.events.len() {
            self.inside(event);
        }
    }

    /// Leaves out parts of a list: halves, quarters, … and in the end single items.
    fn leave_out<T>(&mut self, list: impl Fn(&mut World) -> &mut Vec<T>) {
        let mut piece = list(&mut self.world).len().div_ceil(2);
        while piece > 0 {
            let mut end = list(&mut self.world).len();
            while end > 0 {
                let mut smaller = self.world.clone();
                let items = list(&mut smaller);
                end = end.min(items.len());
                let start = end.saturating_sub(piece);
                items.drain(start..end);
                self.accept(smaller);
                end = start;
            }
            piece /= 2;
        }
    }

    fn inside(&mut self, event: usize) {
        if event >= self.world.events.len() {
            return;
        }
        match &self.world.events[event] {
            Event::Batch(_) => self.leave_out(|world| match world.events.get_mut(event) {
                Some(Event::Batch(requests)) => requests,
                _ => unreachable!("events behind a failure go, this one stays"),
            }),
            Event::Request(_) | Event::Outside(_) => {
                self.leave_out(|world| statements(world, event));
                for statement in 0..statements(&mut self.world, event).len() {
                    if statement < statements(&mut self.world, event).len() {
                        self.leave_out(|world| &mut statements(world, event)[statement].rows);
                    }
                }
            }
            _ => {}
        }
    }

    fn settings(&mut self) {
        let mut plain = self.world.clone();
        plain.limits = Limits { outside_poll: plain.limits.outside_poll, reader_threads: 1, ..Limits::default() };
        self.accept(plain);
        for query in 0..self.world.queries.len() {
            for part in 0..4 {
                let mut smaller = self.world.clone();
                let text = &mut smaller.queries[query];
                let differs = match part {
                    0 => text.limit.take().is_some(),
                    1 => text.order.take().is_some(),
                    2 => std::mem::take(&mut text.dress) != 0,
                    _ => std::mem::take(&mut text.is_named),
                };
                if differs && self.is_used(query) {
                    self.accept(smaller);
                }
            }
        }
    }

    fn is_used(&self, query: usize) -> bool {
        self.world.events.iter().any(|event| match event {
            Event::Subscribe(held) | Event::Resume { held, .. } => held.query == query,
            _ => false,
        })
    }

    fn texts(&mut self) {
        for query in (0..self.world.queries.len()).filter(|&query| self.is_used(query)).collect::<Vec<_>>() {
            self.words(|world| Some(&mut world.queries[query].core));
        }
        for made in 0..self.world.setup.len() {
            self.words(|world| world.setup.get_mut(made));
        }
        for event in 0..self.world.events.len() {
            for statement in 0..5 {
                self.words(|world| match world.events.get_mut(event) {
                    Some(Event::Request(request)) => request.statements.get_mut(statement).map(|one| &mut one.head),
                    _ => None,
                });
            }
        }
    }

    /// Leaves words out of a text, several in a row first.
    fn words(&mut self, text: impl Fn(&mut World) -> Option<&mut String>) {
        for piece in [12, 6, 3, 2, 1] {
            let mut start = 0;
            loop {
                let mut smaller = self.world.clone();
                let Some(whole) = text(&mut smaller) else { return };
                let words: Vec<&str> = whole.split_whitespace().collect();
                if start >= words.len() || words.len() < 2 {
                    break;
                }
                let end = (start + piece).min(words.len());
                *whole = [&words[..start], &words[end..]].concat().join(" ");
                if !self.accept(smaller) {
                    start += 1;
                }
            }
        }
    }
}

fn statements(world: &mut World, event: usize) -> &mut Vec<Statement> {
    match world.events.get_mut(event) {
        Some(Event::Request(request)) => &mut request.statements,
        Some(Event::Outside(statements)) => statements,
        _ => unreachable!("events behind a failure go, this one stays"),
    }
}

fn size(world: &World) -> usize {
    format!("{:?}{:?}{:?}", world.events, world.setup, world.queries).len()
}
