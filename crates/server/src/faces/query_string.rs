//! Query strings, decoded strictly: a parameter that is not UTF-8 is an error, not a guess.

use tidebase_engine::{Error, Result};

/// All parameters in order.
pub fn parse(query: Option<&str>) -> Result<Vec<(String, String)>> {
    query
        .unwrap_or_default()
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            Ok((decode(name, b' ')?, decode(value, b' ')?))
        })
        .collect()
}

/// A part of the path, where a plus is a plus.
pub fn decode_path(part: &str) -> Result<String> {
    decode(part, b'+')
}

fn decode(text: &str, plus: u8) -> Result<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => plus,
            b'%' => {
                let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
                let (high, low) = (digit(rest.next()), digit(rest.next()));
                let value = high.zip(low).map(|(high, low)| (high * 16 + low) as u8);
                value.ok_or_else(|| Error::invalid("The address has a % that is not followed by two digits."))?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| Error::invalid("The address is not UTF-8."))
}

/// One parameter.
pub fn get(query: Option<&str>, name: &str) -> Result<Option<String>> {
    Ok(parse(query)?.into_iter().find(|(given, _)| given == name).map(|(_, value)| value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_strictly() {
        let parsed = parse(Some("sql=select+1%2B1&empty&token=a%20b")).unwrap();
        let expected = [("sql", "select 1+1"), ("empty", ""), ("token", "a b")];
        assert!(parsed.iter().map(|(name, value)| (name.as_str(), value.as_str())).eq(expected));
        assert!(parse(Some("a=%zz")).is_err());
        assert!(parse(Some("a=%ff")).is_err());
        assert!(parse(Some("a=%f")).is_err());
    }
}
