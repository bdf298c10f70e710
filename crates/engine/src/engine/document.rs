//! Documents, and the collections that they are in.

use super::{Engine, Pending};
use crate::access::Principal;
use crate::documents;
use crate::documents::desk::Desk;
use crate::error::Result;
use crate::request::Idempotency;
use crate::storage::execute::Place;
use crate::storage::work::Work;

impl Engine {
    /// Reads documents as whoever asks sees them: `work` may be run twice.
    ///
    /// # Errors
    /// Those of `work`, and `timeout`.
    pub async fn documents<T: Send + 'static>(
        &self,
        principal: &Principal,
        work: impl Fn(&mut Desk<'_>) -> Result<T> + Send + Sync + 'static,
    ) -> Result<T> {
        let role = principal.role();
        self.read_for(principal, move |sqlite, access| work(&mut Desk { sqlite, access, role, place: Place::Reader }))
            .await
    }

    /// Writes documents: all of the batch, or nothing. The administrator's make the collections that are missing.
    ///
    /// # Errors
    /// As [`documents::Batch::run`].
    pub fn write_documents(
        &self,
        principal: &Principal,
        batch: documents::Batch,
        idempotency: Option<Idempotency>,
    ) -> Result<Pending> {
        self.submit(Work::Documents { batch: Box::new(batch), principal: principal.clone() }, idempotency)
    }

    /// The names of all collections.
    pub fn collections(&self) -> Vec<String> {
        let collections = documents::Collections::of(&self.shared.access().schema);
        collections.names().into_iter().map(str::to_owned).collect()
    }

    /// Makes a collection, unless it is there. Policies on it can be kept from then on.
    ///
    /// # Errors
    /// `conflict` if the name is taken by something else.
    pub async fn make_collection(&self, name: &str) -> Result<()> {
        let table = documents::path::pattern(name)?;
        if documents::presence(&self.shared.access().schema, table) == documents::Presence::Collection {
            return Ok(());
        }
        self.submit(Work::MakeCollection { table: table.into() }, None)?.wait().await.map(|_| ())
    }
}
