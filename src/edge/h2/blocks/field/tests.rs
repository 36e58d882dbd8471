//! What may stand in a field, beside what the crates for it take.

use http::{HeaderName, HeaderValue, Method, StatusCode};

use super::*;
use crate::edge::h2::blocks::huffman::tests::pack;

fn both(text: &[u8], judge: impl Fn(Text<'_>) -> Result<bool, Broken>) -> bool {
    let plain = judge(Text { packed: false, bytes: text });
    let packed = judge(Text { packed: true, bytes: &pack(text) });
    assert_eq!(plain, packed, "{text:?}");
    plain.expect("it is a string")
}

#[test]
fn what_may_stand_in_a_field_is_what_the_crate_takes() {
    for byte in 0..=u8::MAX {
        for text in [vec![byte], vec![b'a', byte], vec![byte, b'a', byte, b'b'], vec![byte; 40]] {
            let is_name = both(&text, |text| Ok(Name::of(text)? == Name::Field));
            let taken = HeaderName::from_lowercase(&text).is_ok();
            assert_eq!(is_name, taken && byte != b'"', "{text:?}");
            let is_method = both(&text, |text| Name::Method.takes(text));
            assert_eq!(is_method, Method::from_bytes(&text).is_ok(), "{text:?}");
            let is_value = both(&text, |text| Name::Field.takes(text));
            assert_eq!(is_value, HeaderValue::from_bytes(&text).is_ok(), "{text:?}");
            let is_text = both(&text, |text| Name::Pseudo.takes(text));
            assert_eq!(is_text, str::from_utf8(&text).is_ok(), "{text:?}");
        }
    }
    for text in ["", "1", "099", "100", "200", "999", "1000", "2 0", "20x", "\u{e9}0", "/:9"] {
        let is_status = both(text.as_bytes(), |text| Name::Status.takes(text));
        assert_eq!(is_status, StatusCode::from_bytes(text.as_bytes()).is_ok(), "{text:?}");
    }
    assert!(!both(b"", |text| Name::Method.takes(text)));
    assert!(both(b"", |text| Name::Field.takes(text)));
    assert!(both("caf\u{e9}".as_bytes(), |text| Name::Pseudo.takes(text)));
}

#[test]
fn names_are_told_apart() {
    for (text, name) in [
        (&b":authority"[..], Name::Pseudo),
        (b":method", Name::Method),
        (b":path", Name::Pseudo),
        (b":protocol", Name::Pseudo),
        (b":scheme", Name::Pseudo),
        (b":status", Name::Status),
        (b"", Name::Empty),
        (b":", Name::None),
        (b":Path", Name::None),
        (b":pathx", Name::None),
        (b":authorityx", Name::None),
        (b":authority  ", Name::None),
        (b"path:", Name::None),
        (b"x-a", Name::Field),
        (b"x_a", Name::Field),
        (b"X-a", Name::None),
        (&[b'a'; NAME_BYTES_MAX], Name::Field),
        (&[b'a'; NAME_BYTES_MAX + 1], Name::None),
    ] {
        assert!(both(text, |text| Ok(Name::of(text)? == name)), "{text:?}");
    }
}
