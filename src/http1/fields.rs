//! Lines of fields behind the last chunk of a body, read strictly into a map.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::cut::Cuts;

/// These are no fields, or too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a malformed field, or too many of them")]
pub struct BadFields;

/// Reads `lines`, of which the last one is empty, as at most `fields_max` fields. Values share the
/// memory of `lines`.
pub fn read(lines: &Bytes, fields_max: usize) -> Result<HeaderMap, BadFields> {
    let mut fields = HeaderMap::new();
    let mut cuts = Cuts::of(lines, 0);
    while let Some(cut) = cuts.next().transpose()? {
        if fields.len() == fields_max {
            return Err(BadFields);
        }
        let name = HeaderName::from_bytes(cut.name).map_err(|_| BadFields)?;
        let value = lines.slice_ref(cut.value);
        let value = HeaderValue::from_maybe_shared(value).map_err(|_| BadFields)?;
        fields.append(name, value);
    }
    // Nothing may stand behind the empty line.
    if cuts.end() == lines.len() { Ok(fields) } else { Err(BadFields) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lines: &str) -> Result<Vec<(String, String)>, BadFields> {
        let lines = Bytes::copy_from_slice(lines.as_bytes());
        let fields = read(&lines, 3)?;
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        Ok(fields.iter().map(|(name, value)| (name.to_string(), text(value))).collect())
    }

    #[test]
    fn fields_are_read_without_the_blanks_around_their_values() {
        let read = check("A:b\r\nC_d: \t e\tf \t\r\nG:\r\n\r\n").expect("fields");
        let read: Vec<_> = read.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(read, [("a", "b"), ("c_d", "e\tf"), ("g", "")]);
        assert_eq!(check("\r\n"), Ok(vec![]));
        assert_eq!(check("A: \u{e4}\r\n\r\n").map(|read| read.len()), Ok(1));
    }

    #[test]
    fn what_is_no_field_is_refused() {
        for bad in [
            "",
            "A: b\r\n",
            "A: b\n\r\n",
            "A: b\r\n\n",
            "A: b\r\n c\r\n\r\n",
            " A: b\r\n\r\n",
            "A : b\r\n\r\n",
            "A\r\n\r\n",
            ": b\r\n\r\n",
            "A[]: b\r\n\r\n",
            "A\u{e4}: b\r\n\r\n",
            "A\0: b\r\n\r\n",
            "A: b\0c\r\n\r\n",
            "A: b\rc\r\n\r\n",
            "A: b\r\r\n\r\n",
            "A: b\x7f\r\n\r\n",
            "A: b\r\n\r\nB: c\r\n\r\n",
            "A: 1\r\nA: 2\r\nA: 3\r\nA: 4\r\n\r\n",
        ] {
            assert_eq!(check(bad), Err(BadFields), "{bad:?}");
        }
        assert_eq!(check("A: 5\x0c\r\n\r\n"), Err(BadFields), "a form feed is no blank");
    }
}
