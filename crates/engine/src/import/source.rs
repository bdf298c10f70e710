//! The file that is imported, as its reader wants it: from its beginning, as often as it likes, unsqueezed.

use crate::error::{Error, Result};
use std::fs::File;
use std::io::{BufReader, Read, Seek as _};
use std::sync::Arc;

/// The file; that it is squeezed is seen by its first bytes, and undone.
#[derive(Clone, Debug)]
pub struct Source(pub Arc<File>);

impl Source {
    /// From its beginning. Read by one at a time.
    ///
    /// # Errors
    /// `unavailable` if the file cannot be read.
    pub fn open(&self) -> Result<Box<dyn Read + '_>> {
        let cannot =
            |error: std::io::Error| Error::unavailable(format!("The import cannot be read: {error}.")).caused_by(error);
        let mut file = &*self.0;
        let mut magic = [0; 4];
        file.rewind().map_err(cannot)?;
        let length = file.read(&mut magic).map_err(cannot)?;
        file.rewind().map_err(cannot)?;
        let file = BufReader::with_capacity(64 << 10, file);
        Ok(match &magic[..length] {
            [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
            [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::Decoder::with_buffer(file).map_err(cannot)?),
            _ => Box::new(file),
        })
    }
}
