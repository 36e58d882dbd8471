//! Pieces of messages as they are written.

use bytes::BytesMut;
use http::HeaderName;

/// Appends a field's line.
pub fn append_field(text: &mut BytesMut, name: &HeaderName, value: &[u8]) {
    append_line(text, name.as_str().as_bytes(), value);
}

/// The same, of a name as it came.
pub fn append_line(text: &mut BytesMut, name: &[u8], value: &[u8]) {
    text.reserve(name.len() + value.len() + 4);
    text.extend_from_slice(name);
    text.extend_from_slice(b": ");
    text.extend_from_slice(value);
    text.extend_from_slice(b"\r\n");
}

/// Appends the line ahead of a chunk of so many bytes.
pub fn append_size(text: &mut BytesMut, mut size: usize) {
    let mut digits = [0; 2 * size_of::<usize>()];
    let mut first = digits.len();
    while size > 0 || first == digits.len() {
        first -= 1;
        digits[first] = b"0123456789abcdef"[size & 0xf];
        size >>= 4;
    }
    text.extend_from_slice(&digits[first..]);
    text.extend_from_slice(b"\r\n");
}
