//! A large file on its way into a store, with one part of it in memory. It has its name when it is finished, and not before.

use super::Store;
use super::bucket::{Bucket, PART_BYTES, PARTS_MAX};
use super::folder::{Folder, has_room};
use bytes::{Bytes, BytesMut};
use object_store::multipart::PartId;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use tempfile::NamedTempFile;
use tidebase_engine::{Error, Result};

/// Of a file in a folder, so that its end has not all of it to wait for.
const PARTS_PER_SYNC: usize = 8;

/// Dropped before it is finished it leaves nothing in a folder, and in a bucket parts that [`Store::abandon`] removes.
pub struct Upload {
    store: Store,
    way: Way,
    part: BytesMut,
    parts: usize,
    bytes: u64,
}

pub enum Way {
    Folder { folder: Folder, name: String, id: String, file: Arc<Mutex<NamedTempFile>> },
    Bucket { bucket: Bucket, name: String, id: String, parts: Vec<PartId> },
}

pub async fn to_folder(folder: &Folder, name: &str) -> Result<Way> {
    let file = folder.begin(name).await?;
    let id = file.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Way::Folder { folder: folder.clone(), name: name.into(), id, file: Arc::new(Mutex::new(file)) })
}

pub async fn to_bucket(bucket: &Bucket, name: &str) -> Result<Way> {
    let id = bucket.begin(name).await?;
    Ok(Way::Bucket { bucket: bucket.clone(), name: name.into(), id, parts: Vec::new() })
}

impl Upload {
    pub(super) fn new(store: Store, way: Way) -> Self {
        Self { store, way, part: BytesMut::new(), parts: 0, bytes: 0 }
    }

    /// By which [`Store::abandon`] knows it, also after this process has died.
    pub fn id(&self) -> &str {
        match &self.way {
            Way::Folder { id, .. } | Way::Bucket { id, .. } => id,
        }
    }

    /// # Errors
    /// `too_large` past what a bucket takes; what the store says. Nothing can be written then any more.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        self.bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(PART_BYTES - self.part.len()));
            self.part.extend_from_slice(now);
            bytes = later;
            if self.part.len() == PART_BYTES {
                self.send().await?;
            }
        }
        Ok(())
    }

    /// Gives how many bytes it has.
    pub async fn finish(mut self) -> Result<u64> {
        // A bucket wants one part at least, and it may be empty.
        if !self.part.is_empty() || self.bytes == 0 {
            self.send().await?;
        }
        match self.way {
            Way::Folder { folder, name, file, .. } => {
                let file = Arc::into_inner(file).ok_or_else(|| Error::internal("a file is still being written"))?;
                let file = file.into_inner().unwrap_or_else(PoisonError::into_inner);
                self.store.in_time(folder.finish(&name, file)).await?;
            }
            Way::Bucket { bucket, name, id, parts } => {
                self.store.in_time(bucket.finish(&name, &id, parts)).await?;
            }
        }
        Ok(self.bytes)
    }

    async fn send(&mut self) -> Result<()> {
        let part: Bytes = self.part.split().freeze();
        self.parts += 1;
        let is_synced = self.parts.is_multiple_of(PARTS_PER_SYNC);
        match &mut self.way {
            Way::Folder { folder, file, .. } => {
                let file = Arc::clone(file);
                let write = move || {
                    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                    has_room(file.as_file())?;
                    file.write_all(&part)?;
                    if is_synced { file.as_file().sync_data() } else { Ok(()) }
                };
                self.store.in_time(folder.work(write)).await
            }
            Way::Bucket { bucket, name, id, parts } => {
                if parts.len() == PARTS_MAX {
                    let most = (PART_BYTES * PARTS_MAX) >> 30;
                    return Err(Error::too_large(format!("A file in a bucket may have {most} GiB.")));
                }
                let put = bucket.put_part(name, id, parts.len(), part);
                let put = self.store.in_time(put).await?;
                parts.push(put);
                Ok(())
            }
        }
    }
}
