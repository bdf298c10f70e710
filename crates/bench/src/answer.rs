//! Where an HTTP/1.1 answer ends: the little of the protocol that a load generator must understand.
//!
//! Pure functions over bytes; reading from the connection is in `http.rs`. Not here: answers that end with the
//! connection, continuation lines, trailers with content. No server we drive sends them to a keep-alive client.

use anyhow::{Context, Result, bail};

#[derive(Debug, PartialEq, Eq)]
pub struct Head {
    pub status: u16,
    pub body: Body,
    /// The header `Tidebase-Revision`.
    pub revision: Option<u64>,
    /// Bytes of status line, headers and the empty line.
    pub size: usize,
}

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Body {
    Length(usize),
    Chunked,
}

/// `None` while the head is incomplete.
pub fn head(bytes: &[u8]) -> Result<Option<Head>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&bytes[..end]).context("an answer's head is not text")?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let Some(status) = status else { bail!("no status line in an answer") };
    let mut head = Head { status, body: Body::Length(0), revision: None, size: end + 4 };
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            head.body = Body::Length(value.parse().context("a content-length that is no number")?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") && value.eq_ignore_ascii_case("chunked") {
            head.body = Body::Chunked;
        } else if name.eq_ignore_ascii_case("tidebase-revision") {
            head.revision = value.parse().ok();
        }
    }
    Ok(Some(head))
}

/// Walks over a chunked body as it grows, never looking at the same chunk twice.
#[derive(Debug, Default)]
pub struct Chunks {
    position: usize,
    /// Bytes of content so far, the chunk marks not counted.
    pub payload: usize,
}

impl Chunks {
    /// `body` is everything received after the head; true when its last chunk is there.
    pub fn complete(&mut self, body: &[u8]) -> Result<bool> {
        while let Some((start, size)) = chunk_at(body, self.position)? {
            let end = start + size + 2;
            if body.len() < end {
                return Ok(false);
            }
            (self.position, self.payload) = (end, self.payload + size);
            if size == 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The content of a complete chunked body.
pub fn joined(body: &[u8]) -> Result<Vec<u8>> {
    let (mut content, mut position) = (Vec::new(), 0);
    while let Some((start, size)) = chunk_at(body, position)? {
        content.extend_from_slice(body.get(start..start + size).context("a chunk is cut short")?);
        position = start + size + 2;
    }
    Ok(content)
}

/// Where the content of the chunk whose size line begins at `position` starts, and how long it is.
fn chunk_at(body: &[u8], position: usize) -> Result<Option<(usize, usize)>> {
    let rest = body.get(position..).unwrap_or_default();
    let Some(line) = rest.windows(2).take(64).position(|two| two == b"\r\n") else { return Ok(None) };
    let digits = std::str::from_utf8(&rest[..line]).context("a chunk size is not text")?;
    let digits = digits.split(';').next().unwrap_or(digits).trim();
    let size = usize::from_str_radix(digits, 16).context("a chunk size is no number")?;
    Ok(Some((position + line + 2, size)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_tells_status_length_and_revision() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\ntidebase-revision: 42\r\n\r\nhello";
        let wanted = Head { status: 200, body: Body::Length(5), revision: Some(42), size: bytes.len() - 5 };
        assert_eq!(head(bytes).unwrap(), Some(wanted));
    }

    #[test]
    fn half_a_head_is_no_head_yet() {
        assert_eq!(head(b"HTTP/1.1 200 OK\r\ncontent-len").unwrap(), None);
    }

    #[test]
    fn nonsense_is_an_error() {
        assert!(head(b"nonsense\r\n\r\n").is_err());
    }

    #[test]
    fn chunks_are_followed_however_they_are_cut() {
        let whole = b"4\r\nabcd\r\n3;x=1\r\nefg\r\n0\r\n\r\n";
        let mut chunks = Chunks::default();
        for cut in 0..whole.len() {
            assert!(!chunks.complete(&whole[..cut]).unwrap(), "complete too early at {cut}");
        }
        assert!(chunks.complete(whole).unwrap());
        assert_eq!(chunks.payload, 7);
        assert_eq!(joined(whole).unwrap(), b"abcdefg");
    }
}
