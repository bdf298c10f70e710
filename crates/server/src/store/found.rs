//! A file of a store that is being read: any range of it, in pieces.

use super::Store;
use super::bucket::Bucket;
use super::folder::Folder;
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt as _, stream};
use std::fs::{File, Metadata};
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::sync::Arc;
use tidebase_engine::Result;

/// Bytes of a piece, of which one at a time is in memory. From a bucket each is a request of its own, so that a reader who takes his time
/// keeps none waiting.
const FOLDER_PIECE_BYTES: u64 = 256 << 10;
const BUCKET_PIECE_BYTES: u64 = 8 << 20;

/// It stays as it was found while it is read: one that is replaced meanwhile is an error, not a mixture.
#[derive(Clone)]
pub struct Found {
    pub bytes: u64,
    /// Another one of the same name has another, for HTTP's ETag; with its quotes.
    pub tag: String,
    store: Store,
    way: Way,
}

#[derive(Clone)]
enum Way {
    Folder { folder: Folder, file: Arc<File> },
    Bucket { bucket: Bucket, name: String, tag: Option<String> },
}

pub async fn in_folder(store: &Store, folder: &Folder, name: &str) -> Result<Found> {
    let (file, about) = folder.open(name).await?;
    let way = Way::Folder { folder: folder.clone(), file: Arc::new(file) };
    Ok(Found { bytes: about.len(), tag: tag(&about), store: store.clone(), way })
}

pub async fn in_bucket(store: &Store, bucket: &Bucket, name: &str) -> Result<Found> {
    let about = bucket.about(name).await?;
    let modified = || format!("\"{:x}-{:x}\"", about.last_modified.timestamp_millis(), about.size);
    let tag = about.e_tag.clone().unwrap_or_else(modified);
    let way = Way::Bucket { bucket: bucket.clone(), name: name.into(), tag: about.e_tag };
    Ok(Found { bytes: about.size, tag, store: store.clone(), way })
}

fn tag(about: &Metadata) -> String {
    format!("\"{:x}-{:x}-{:x}\"", about.ino(), about.mtime() * 1_000_000_000 + about.mtime_nsec(), about.len())
}

impl Found {
    /// The bytes of a range that lies within the file.
    pub fn read(&self, range: Range<u64>) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
        let most = match self.way {
            Way::Folder { .. } => FOLDER_PIECE_BYTES,
            Way::Bucket { .. } => BUCKET_PIECE_BYTES,
        };
        let (found, range) = (self.clone(), range.start..range.end.min(self.bytes));
        stream::try_unfold(range, move |range| {
            let found = found.clone();
            async move {
                if range.is_empty() {
                    return Ok(None);
                }
                let piece = range.start..range.end.min(range.start + most);
                let next = piece.end..range.end;
                Ok(Some((found.piece(piece).await?, next)))
            }
        })
    }

    /// All of a file that is small.
    pub async fn whole(&self) -> Result<Vec<u8>> {
        let mut whole = Vec::new();
        let pieces = self.read(0..self.bytes);
        let mut pieces = std::pin::pin!(pieces);
        while let Some(piece) = pieces.try_next().await? {
            whole.extend_from_slice(&piece);
        }
        Ok(whole)
    }

    async fn piece(&self, range: Range<u64>) -> Result<Bytes> {
        match &self.way {
            Way::Folder { folder, file } => {
                let file = Arc::clone(file);
                let read = folder.work(move || {
                    let mut piece = vec![0; (range.end - range.start) as usize];
                    file.read_exact_at(&mut piece, range.start)?;
                    Ok(piece.into())
                });
                self.store.in_time(read).await
            }
            Way::Bucket { bucket, name, tag } => self.store.in_time(bucket.read(name, tag.clone(), range)).await,
        }
    }
}
