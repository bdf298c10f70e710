//! A change stream as a client follows it: an image of the tables, to which every change told is applied.

use super::frames::Frame;
use super::image::Image;
use tidebase_engine::Since;

#[derive(Clone, Debug)]
pub struct Listener {
    /// Without quotes; `None` for all tables.
    pub table: Option<String>,
    pub image: Image,
    /// The line of revisions that `at` is of, which is not the session's own until the stream has begun.
    pub history: String,
    /// Everything up to here is in the image.
    pub at: i64,
    /// The image was read at this revision: what is told of before is in it.
    read_at: i64,
    /// What it was before the transaction whose frames are still coming.
    before: Option<(i64, Image)>,
    /// Told to read again, which must be done when nothing is written.
    pub must_read: bool,
    /// The frame that says from where it listens has come, or none will.
    pub has_begun: bool,
    /// Tables of the changes told lately: name, was there an old row, is there a new one.
    pub lately: Vec<(String, bool, bool)>,
}

impl Listener {
    /// Starts from an image that is true at a revision.
    pub fn new(table: Option<String>, image: Image, since: &Since, resumes: bool) -> Self {
        Self {
            table,
            image,
            history: since.history.clone(),
            at: since.revision,
            read_at: 0,
            before: None,
            must_read: false,
            has_begun: resumes,
            lately: vec![],
        }
    }

    /// Told that no change leads from what it knows to what there is: it must read again, in this history.
    pub fn resync(&mut self, history: &str) {
        (self.must_read, self.has_begun) = (true, true);
        history.clone_into(&mut self.history);
    }

    /// Replaces the image by one that is true at a revision.
    pub fn read_again(&mut self, image: Image, at: i64) {
        (self.image, self.at, self.read_at, self.before, self.must_read) = (image, at, at, None, false);
    }

    /// For a new connection: whole transactions only.
    pub fn settle(&mut self) {
        if let Some((at, image)) = self.before.take() {
            (self.at, self.image) = (at, image);
        }
    }

    pub fn told(&mut self, frame: &Frame<'_>) -> Result<(), String> {
        let (Some(revision), Some(is_last)) = (frame.revision, frame.last) else {
            return Err("a frame of changes lacks its revision or \"last\"".into());
        };
        if !self.has_begun {
            if !frame.changes.is_empty() || !is_last || revision < self.at {
                return Err(format!("a stream begins with changes at {revision}, not with where it stands"));
            }
            // It listens from a later revision than that of its image: somebody was quicker.
            self.must_read |= revision > self.at;
            (self.has_begun, self.at) = (true, revision);
            return Ok(());
        }
        if frame.changes.is_empty() {
            return if revision == self.at { Ok(()) } else { Err(format!("nothing is told at {revision}")) };
        }
        if self.must_read || revision <= self.read_at {
            return Ok(());
        }
        if revision <= self.at && self.before.is_none() {
            return Err(format!("changes at {revision} come twice, or late"));
        }
        if self.before.as_ref().is_some_and(|_| revision != self.at) {
            return Err("a transaction was not told whole before the next began".into());
        }
        if self.before.is_none() {
            self.before = Some((self.at, self.image.clone()));
            self.lately.clear();
        }
        self.at = revision;
        for change in &frame.changes {
            let is_of_other = |table: &String| !change.table.eq_ignore_ascii_case(table);
            if self.table.as_ref().is_some_and(is_of_other) {
                return Err(format!("a change of {} in the stream of {:?}", change.table, self.table));
            }
            self.lately.push((change.table.to_string(), change.old.is_some(), change.new.is_some()));
        }
        self.image.apply_all(&frame.changes)?;
        if is_last {
            self.before = None;
        }
        Ok(())
    }
}
