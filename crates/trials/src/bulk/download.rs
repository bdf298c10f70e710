//! An export as it comes over HTTP: its bytes, one behind the other, and none of them kept. A connection that is cut is an error, however
//! much has come.

use crate::crash::TOKEN;
use anyhow::{Context as _, Result, ensure};
use std::io::{BufRead as _, BufReader, Error, ErrorKind, Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Whoever sends nothing for so long sends nothing any more.
const SILENCE_MAX: Duration = Duration::from_mins(1);

pub struct Download {
    stream: BufReader<TcpStream>,
    is_chunked: bool,
    /// Of the chunk that is being read, or of all of it.
    left: u64,
    is_over: bool,
    pub bytes: u64,
}

impl Download {
    /// Asks for it, and waits until it begins.
    pub fn begin(address: SocketAddr, path: &str) -> Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
        stream.write_all(head.as_bytes())?;
        let stream = BufReader::with_capacity(256 << 10, stream);
        let mut download = Self { stream, is_chunked: false, left: 0, is_over: false, bytes: 0 };
        let status = download.line()?;
        ensure!(status.starts_with("HTTP/1.1 200"), "{path} was answered {status}");
        loop {
            let line = download.line()?.to_ascii_lowercase();
            match line.split_once(": ") {
                Some(("transfer-encoding", "chunked")) => download.is_chunked = true,
                Some(("content-length", length)) => download.left = length.parse()?,
                Some(_) => {}
                None => break,
            }
        }
        Ok(download)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        Ok(line.strip_suffix("\r\n").context("the connection was cut")?.to_owned())
    }

    /// How many bytes are to come before the next look; 0 at the end.
    fn room(&mut self) -> Result<u64> {
        if self.left == 0 && !self.is_over {
            if self.is_chunked {
                // Behind each chunk there is an empty line.
                let line = if self.bytes > 0 { self.line().and_then(|_| self.line()) } else { self.line() }?;
                self.left = u64::from_str_radix(&line, 16)?;
            }
            self.is_over = self.left == 0;
        }
        Ok(self.left)
    }
}

impl Read for Download {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let room = self.room().map_err(|error| Error::new(ErrorKind::UnexpectedEof, error.to_string()))?;
        let most = out.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        if most == 0 {
            return Ok(0);
        }
        let read = self.stream.read(&mut out[..most])?;
        if read == 0 {
            return Err(Error::new(ErrorKind::UnexpectedEof, "the connection was cut"));
        }
        self.left -= read as u64;
        self.bytes += read as u64;
        Ok(read)
    }
}
