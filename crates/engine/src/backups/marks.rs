//! What the writer and the keeper of backups tell each other: up to where the WAL is committed, and up to where it is kept.
//!
//! The WAL must not begin anew before all of it is kept, so the writer asks here before it checkpoints. Commits of one second
//! share a mark, and with it a file: a file never holds commits of two seconds, so that the state of any whole second can be
//! told apart.

use crate::changes::change::Revision;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Behind a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Frames in the WAL.
    pub frames: u32,
    /// When it was committed.
    pub time_ms: i64,
    pub revision: Revision,
}

impl Mark {
    /// Up to its last millisecond and with it, so that the state of 10:00:00.000 is all that was committed by then.
    fn second(self) -> i64 {
        (self.time_ms - 1).div_euclid(1000)
    }
}

/// What the keeper does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Take(Mark),
    /// Hold what is in the WAL, so that no program writes it from its start again.
    Hold,
    /// Hold it no more: the writer checkpoints.
    LetGo,
    /// What was committed is not all in the WAL any more: it has to begin with all pages again.
    BeginAgain,
    Over,
}

/// How the keeper fares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// It looks at all pages.
    #[default]
    Beginning,
    /// It knows where it stands, and takes what is here.
    Keeping,
    /// It rests before another try.
    Failing,
}

#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "claims that do not depend on each other")]
struct State {
    waiting: VecDeque<Mark>,
    /// Frames that are kept, in this life of the WAL.
    kept: u32,
    /// The next commit gets a mark of its own.
    is_cut: bool,
    /// The writer waits until nothing is left here.
    awaited_by: usize,
    /// The writer is about to checkpoint, or does.
    is_freed: bool,
    /// The keeper holds the WAL.
    is_held: bool,
    stage: Stage,
    /// Everything was kept and checkpointed: SQLite may write the WAL from its start again.
    may_begin_anew: bool,
    is_lost: bool,
    /// All pages are wanted again, when what waits is kept.
    is_renewed: bool,
    is_over: bool,
    /// The keeper has closed the database.
    is_gone: bool,
}

/// More of the WAL is not left to the end of a second: who checkpoints would have to wait for it.
const FRAMES_WAITING_MAX: u32 = 1024;

impl State {
    /// After a checkpoint frames are counted from 0 again.
    fn is_much(&self, mark: Mark) -> bool {
        mark.frames.checked_sub(self.kept).unwrap_or(mark.frames) >= FRAMES_WAITING_MAX
    }

    fn is_settled(&self, frees: bool) -> bool {
        let is_kept = self.stage == Stage::Keeping && !self.is_lost && !self.is_renewed && self.waiting.is_empty();
        is_kept && !(frees && self.is_held)
    }
}

#[derive(Debug, Default)]
pub struct Marks {
    state: Mutex<State>,
    for_keeper: Condvar,
    for_writer: Condvar,
}

impl Marks {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The writer has committed.
    pub fn note(&self, mark: Mark) {
        let mut state = self.lock();
        let is_cut = std::mem::take(&mut state.is_cut);
        match state.waiting.back_mut() {
            Some(last) if !is_cut && last.second() == mark.second() => {
                *last = mark;
                if state.is_much(mark) {
                    self.for_keeper.notify_one();
                }
            }
            _ => {
                state.waiting.push_back(mark);
                self.for_keeper.notify_one();
            }
        }
    }

    /// What was committed until now stays apart from what comes.
    pub fn cut(&self) {
        self.lock().is_cut = true;
    }

    /// False until the keeper has seen all pages: until then nothing is to be waited for.
    pub fn is_keeping(&self) -> bool {
        self.lock().stage == Stage::Keeping
    }

    /// Nothing waits.
    pub fn are_kept(&self) -> bool {
        self.lock().waiting.is_empty()
    }

    /// Has everything that was committed kept, and waits for it so long at most, unless it fails. True if it is: then the WAL may
    /// be checkpointed.
    pub fn settle(&self, time: Duration) -> bool {
        self.wait(time, false)
    }

    /// The same for the writer, who checkpoints then: until [`Marks::checkpointed`] nobody holds the WAL.
    pub fn free(&self, time: Duration) -> bool {
        self.lock().is_freed = true;
        let is_free = self.wait(time, true);
        if !is_free {
            self.lock().is_freed = false;
            self.for_keeper.notify_one();
        }
        is_free
    }

    fn wait(&self, time: Duration, frees: bool) -> bool {
        let until = Instant::now() + time;
        let mut state = self.lock();
        state.awaited_by += 1;
        self.for_keeper.notify_one();
        while !state.is_settled(frees) && state.stage != Stage::Failing && !state.is_over {
            let Some(rest) = until.checked_duration_since(Instant::now()) else { break };
            state = self.for_writer.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.awaited_by -= 1;
        state.is_settled(frees)
    }

    /// After a checkpoint, with the frames that were in the WAL, if all of them are in the file now. False if some of them are not kept
    /// yet: another program's, which came in between.
    pub fn checkpointed(&self, frames: Option<u32>) -> bool {
        let mut state = self.lock();
        let are_kept = frames.is_none_or(|frames| frames == state.kept);
        state.may_begin_anew = frames.is_some() && are_kept;
        state.is_freed = false;
        self.for_keeper.notify_one();
        are_kept
    }

    /// The keeper looks at all pages. True if something was lost since it did so last.
    pub fn begin(&self) -> bool {
        let mut state = self.lock();
        state.is_renewed = false;
        std::mem::take(&mut state.is_lost)
    }

    /// All pages are to be written again. Nothing of what was committed is lost by it.
    pub fn renew(&self) {
        self.lock().is_renewed = true;
        self.for_keeper.notify_one();
    }

    /// What the keeper looks at ends with so many frames. While it looks nothing more can be checkpointed: if all of them have been, the WAL
    /// may begin anew behind them, once.
    pub fn pinned(&self, frames: u32) {
        let mut state = self.lock();
        state.may_begin_anew &= state.kept == frames && state.waiting.is_empty();
    }

    /// The WAL is checkpointed though not all of it is kept.
    pub fn lose(&self) {
        let mut state = self.lock();
        state.waiting.clear();
        state.is_lost = true;
        self.for_keeper.notify_one();
    }

    pub fn end(&self) {
        self.lock().is_over = true;
        self.for_keeper.notify_one();
    }

    /// Waits, so long at most, until the keeper has closed the database.
    pub fn wait_gone(&self, time: Duration) {
        let state = self.lock();
        drop(self.for_writer.wait_timeout_while(state, time, |state| !state.is_gone));
    }

    pub fn gone(&self) {
        self.lock().is_gone = true;
        self.for_writer.notify_all();
    }

    pub fn is_over(&self) -> bool {
        self.lock().is_over
    }

    /// What to do, when it is time: when a second is over, when the writer waits, or when there is an end.
    pub fn next(&self, now_ms: impl Fn() -> i64) -> Next {
        let mut state = self.lock();
        loop {
            if state.is_lost || state.is_renewed && state.waiting.is_empty() {
                state.stage = Stage::Beginning;
                return Next::BeginAgain;
            }
            if !state.is_freed && !state.is_held {
                state.is_held = true;
                return Next::Hold;
            }
            let wait_ms = match state.waiting.front() {
                Some(&mark) => {
                    // A clock that was put back is not waited for.
                    let rest = ((mark.second() + 1) * 1000 + 1 - now_ms()).min(1000);
                    if rest <= 0
                        || state.waiting.len() > 1
                        || state.awaited_by > 0
                        || state.is_over
                        || state.is_renewed
                        || state.is_much(mark)
                    {
                        return Next::Take(mark);
                    }
                    rest.unsigned_abs()
                }
                None if state.is_over => return Next::Over,
                None if state.is_freed && state.is_held => return Next::LetGo,
                None => u64::MAX,
            };
            let (waited, time) = (&self.for_keeper, Duration::from_millis(wait_ms.min(60_000)));
            state = waited.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// May the WAL have begun anew behind what was kept last? Asked by who looks at it.
    pub fn may_begin_anew(&self) -> bool {
        self.lock().may_begin_anew
    }

    /// Everything up to a mark is kept, also what was added to it meanwhile up to there.
    pub fn kept(&self, mark: Mark) {
        let mut state = self.lock();
        state.may_begin_anew = false;
        state.kept = mark.frames;
        match state.waiting.front() {
            // More was committed in the same second: that goes into the next file.
            Some(front) if front.frames != mark.frames || front.revision != mark.revision => {}
            _ => drop(state.waiting.pop_front()),
        }
        self.for_writer.notify_all();
    }

    /// All pages are kept as of so many frames: the keeper goes on from there.
    pub fn begun(&self, frames: u32) {
        let mut state = self.lock();
        while state.waiting.front().is_some_and(|mark| mark.frames <= frames) {
            state.waiting.pop_front();
        }
        state.stage = Stage::Keeping;
        state.is_held = false;
        state.may_begin_anew &= state.kept == frames;
        state.kept = frames;
        self.for_writer.notify_all();
    }

    /// The keeper does not know any more where it stands.
    pub fn failed(&self) {
        self.lock().stage = Stage::Failing;
        self.for_writer.notify_all();
    }

    /// The keeper has let go of the WAL.
    pub fn has_let_go(&self) {
        self.lock().is_held = false;
        self.for_writer.notify_all();
    }

    /// Waits before another try; false if there is an end. Whoever is held up by what the keeper holds is let go, once something is lost.
    pub fn rest(&self, time: Duration, mut let_go: impl FnMut()) -> bool {
        let until = Instant::now() + time;
        let mut state = self.lock();
        while !state.is_over {
            if state.is_lost {
                let_go();
            }
            let Some(rest) = until.checked_duration_since(Instant::now()) else {
                state.stage = Stage::Beginning;
                return true;
            };
            state = self.for_keeper.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn mark(frames: u32, time_ms: i64) -> Mark {
        Mark { frames, time_ms, revision: frames as Revision }
    }

    #[test]
    fn commits_of_a_second_share_a_mark_unless_it_was_cut() {
        let marks = Marks::default();
        marks.begun(0);
        marks.note(mark(1, 1001));
        marks.note(mark(2, 2000));
        marks.note(mark(3, 2001));
        marks.cut();
        marks.note(mark(4, 2002));
        assert_eq!(marks.next(|| 9000), Next::Hold);
        for expected in [mark(2, 2000), mark(3, 2001), mark(4, 2002)] {
            assert_eq!(marks.next(|| 9000), Next::Take(expected));
            marks.kept(expected);
        }
        marks.end();
        assert_eq!(marks.next(|| 9000), Next::Over);
    }

    #[test]
    fn what_was_committed_while_a_file_was_written_goes_into_the_next() {
        let marks = Marks::default();
        marks.begun(0);
        marks.note(mark(1, 1001));
        assert_eq!(marks.next(|| 2001), Next::Hold);
        assert_eq!(marks.next(|| 2001), Next::Take(mark(1, 1001)));
        marks.note(mark(2, 1500));
        marks.kept(mark(1, 1001));
        assert!(!marks.settle(Duration::ZERO));
        assert_eq!(marks.next(|| 2001), Next::Take(mark(2, 1500)));
        marks.kept(mark(2, 1500));
        assert!(marks.settle(Duration::ZERO));
    }

    #[test]
    fn nothing_may_be_checkpointed_before_the_keeper_has_begun() {
        let marks = Marks::default();
        assert!(!marks.is_keeping() && !marks.settle(Duration::ZERO));
        marks.note(mark(3, 1000));
        marks.begun(3);
        assert!(marks.settle(Duration::ZERO));
        marks.failed();
        assert!(!marks.settle(Duration::from_mins(1)));
    }

    #[test]
    fn what_is_lost_is_not_kept() {
        let marks = Marks::default();
        marks.begun(0);
        marks.note(mark(1, 1000));
        marks.lose();
        assert!(!marks.settle(Duration::ZERO));
        assert_eq!(marks.next(|| 1000), Next::BeginAgain);
        assert!(marks.begin());
        marks.begun(1);
        assert!(marks.settle(Duration::ZERO) && !marks.begin());
    }

    #[test]
    fn an_end_takes_what_is_left_first() {
        let marks = Marks::default();
        marks.begun(0);
        marks.note(mark(1, 1000));
        marks.end();
        assert_eq!(marks.next(|| 1000), Next::Hold);
        assert_eq!(marks.next(|| 1000), Next::Take(mark(1, 1000)));
        marks.kept(mark(1, 1000));
        assert_eq!(marks.next(|| 1000), Next::Over);
    }

    #[test]
    fn who_checkpoints_is_let_and_told_of_what_came_in_between() {
        let marks = Marks::default();
        marks.begun(4);
        assert_eq!(marks.next(|| 0), Next::Hold);
        assert!(!marks.free(Duration::ZERO), "it is held");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while marks.next(|| 0) != Next::LetGo {}
                marks.has_let_go();
            });
            assert!(marks.free(Duration::from_mins(1)));
        });
        assert!(!marks.checkpointed(Some(5)) && !marks.may_begin_anew(), "another program's frame");
        assert!(marks.checkpointed(Some(4)) && marks.may_begin_anew());
        assert_eq!(marks.next(|| 0), Next::Hold);
    }
}
