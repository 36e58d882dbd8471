//! Strings of the code, packed and unpacked.

use super::*;

/// A string in this code.
pub(in crate::edge::h2) fn pack(text: &[u8]) -> Vec<u8> {
    let (mut out, mut bits, mut count) = (Vec::new(), 0_u64, 0);
    let mut put = |code: u32, length: u32| {
        bits = bits << length | u64::from(code);
        count += length;
        while count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    };
    for &byte in text {
        let (code, length) = code_of(u16::from(byte));
        put(code, length);
    }
    let left = (8 - text.iter().map(|&b| u32::from(LENGTHS[usize::from(b)])).sum::<u32>() % 8) % 8;
    put((1 << left) - 1, left);
    out
}

fn code_of(symbol: u16) -> (u32, u32) {
    let length = usize::from(LENGTHS[usize::from(symbol)]);
    let begin = usize::from(CODE.begin[length]);
    let place = CODE.symbols[begin..].iter().position(|&it| it == symbol).expect("it has one");
    (CODE.first[length] + place as u32, length as u32)
}

fn unpacked(packed: &[u8]) -> Result<Vec<u8>, Garbled> {
    let mut out = Vec::new();
    unpack(packed, |byte| out.push(byte)).map(|()| out)
}

fn hex(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).expect("digits"));
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("digits")).collect()
}

/// RFC 7541, Appendix C.4 and C.6, and single codes of Appendix B.
#[test]
fn strings_are_what_the_rfc_says() {
    for (text, packed) in [
        ("www.example.com", "f1e3c2e5f23a6ba0ab90f4ff"),
        ("no-cache", "a8eb10649cbf"),
        ("custom-key", "25a849e95ba97d7f"),
        ("custom-value", "25a849e95bb8e8b4bf"),
        ("302", "6402"),
        ("private", "aec3771a4b"),
        ("Mon, 21 Oct 2013 20:13:21 GMT", "d07abe941054d444a8200595040b8166e082a62d1bff"),
        ("https://www.example.com", "9d29ad171863c78f0b97c8e9ae82ae43d3"),
        (
            "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
            concat!(
                "94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5",
                "291f9587316065c003ed4ee5b1063d5007"
            ),
        ),
        ("", ""),
    ] {
        assert_eq!(unpacked(&hex(packed)).as_deref(), Ok(text.as_bytes()));
        assert_eq!(pack(text.as_bytes()), hex(packed), "{text}");
    }
    let codes = [
        (0, 0x1ff8),
        (1, 0x007f_ffd8),
        (u16::from(b'\t'), 0x00ff_ffea),
        (u16::from(b'\n'), 0x3fff_fffc),
        (u16::from(b'\\'), 0x0007_fff0),
        (u16::from(b'~'), 0x1ffd),
        (127, 0x0fff_fffc),
        (128, 0x000f_ffe6),
        (249, 0x0fff_fffe),
        (255, 0x03ff_ffee),
        (END, 0x3fff_ffff),
    ];
    for (symbol, code) in codes {
        assert_eq!(code_of(symbol).0, code, "{symbol}");
    }
}

#[test]
fn every_byte_survives_and_what_is_no_string_is_none() {
    let all: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
    assert_eq!(unpacked(&pack(&all)), Ok(all));
    let broken: &[&[u8]] = &[
        // The end, spelt out; a byte of filler too much; filler that is none; half of a code.
        &[0xff, 0xff, 0xff, 0xff],
        &[0x07, 0xff],
        &[0xff],
        &[0x00],
        &[0x1f, 0xfe],
        &[0xff, 0xff, 0xff],
    ];
    for packed in broken {
        assert_eq!(unpacked(packed), Err(Garbled), "{packed:x?}");
    }
}

#[test]
fn no_byte_that_must_not_be_is_overlooked_wherever_it_stands() {
    let is_control = |byte: u8| byte.is_ascii_control() && byte != b'\t';
    for fill in [b'0', b'9', b'w', b'?', b'|', b'z', b'+', b'~', b'<'] {
        for (byte, front) in (0..=u8::MAX).flat_map(|byte| (0..30).map(move |n| (byte, n))) {
            for behind in [0, 1, 2, 20] {
                let mut text = vec![fill; front];
                text.push(byte);
                text.resize(text.len() + behind, fill);
                let packed = pack(&text);
                assert!(may_hold_control(&packed) || !is_control(byte), "{text:?}");
                assert!(may_exceed_ascii(&packed) || byte.is_ascii(), "{text:?}");
            }
        }
    }
}

#[test]
fn usual_text_needs_not_be_unpacked() {
    for text in [
        "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        "\"Chromium\";v=\"140\", \"Not=A?Brand\";v=\"24\", \"Google Chrome\";v=\"140\"",
        "_session=k3Jf8+7Zb/2Qm1==--9a8b7c6d; theme=dark; cart={\"a\":[1,2]}",
        "https://shop.example/orders?page=2&q=caf%C3%A8&sort=-created_at#top",
        "W/\"5f3b-188\"",
    ] {
        let packed = pack(text.as_bytes());
        assert!(!may_hold_control(&packed), "{text}");
        assert!(!may_exceed_ascii(&packed), "{text}");
    }
}

#[test]
fn ones_are_the_shortest_of_their_length() {
    for length in 0..100 {
        let mut out = Vec::new();
        pack_ones(length, &mut out);
        assert_eq!(out, pack(&vec![b'1'; length]));
    }
}
