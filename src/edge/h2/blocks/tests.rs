//! What is found in blocks, and what becomes of them.

use super::*;
use crate::edge::h2::blocks::huffman::tests::pack;

/// A literal with a name and a value that are spelt out; `kind` is its first byte.
fn spelt(kind: u8, name: &[u8], value: &[u8]) -> Vec<u8> {
    let length = |text: &[u8]| u8::try_from(text.len()).expect("it is short");
    [&[kind, length(name)], name, &[length(value)], value].concat()
}

/// The same, packed.
fn packed(kind: u8, name: &[u8], value: &[u8]) -> Vec<u8> {
    let string = |text: &[u8]| {
        let packed = pack(text);
        [&[0x80 | u8::try_from(packed.len()).expect("it is short")], &*packed].concat()
    };
    [vec![kind], string(name), string(value)].concat()
}

const GET: &[u8] = b"\x82\x86\x84\x41\x01a";
const ENTERS: u8 = 0x40;
const PASSES: u8 = 0x00;
const NEVER: u8 = 0x10;

fn found(block: &[u8], of: Of) -> Result<Found, Broken> {
    Blocks::new().look(block, of)
}

#[test]
fn what_anybody_may_send_is_clean() {
    for field in [(&b"x-a"[..], &b"b"[..]), (b"x_a", b""), (b"~", "caf\u{e9}\t".as_bytes())] {
        for kind in [ENTERS, PASSES, NEVER] {
            for literal in [spelt(kind, field.0, field.1), packed(kind, field.0, field.1)] {
                let block = [GET, &literal].concat();
                assert_eq!(found(&block, Of::Head), Ok(Found::Clean), "{field:?}");
                assert_eq!(found(&literal, Of::Trailers), Ok(Found::Clean), "{field:?}");
            }
        }
    }
    assert_eq!(found(b"", Of::Head), Ok(Found::Clean));
    assert_eq!(found(b"\x3f\xe1\x1f\x20\x82", Of::Head), Ok(Found::Clean), "sizes of the table");
    // What the crate judges, with a reset of the stream, is not judged here.
    assert_eq!(found(&spelt(PASSES, b"connection", b"close"), Of::Head), Ok(Found::Clean));
    assert_eq!(found(&spelt(PASSES, b":status", b"200"), Of::Head), Ok(Found::Clean));
}

#[test]
fn what_nobody_may_send_is_found_where_it_stands() {
    let fields: [(&[u8], &[u8]); 15] = [
        (b"X-Upper", b"1"),
        (b"x a", b"1"),
        (b"x\0", b"1"),
        (b"x\"", b"1"),
        (b"\"", b""),
        (b"x-\xff", b"1"),
        (b"", b"1"),
        (b"", b""),
        (b":audience", b"1"),
        (b"x-a", b"1\0"),
        (b"x-a", b"1\r\nx-b: 2"),
        (b"x-a", b"\x7f"),
        (b":method", b"G T"),
        (b":path", b"/\xff"),
        (b":status", b"20"),
    ];
    for (name, value) in fields {
        for kind in [ENTERS, PASSES, NEVER] {
            for literal in [spelt(kind, name, value), packed(kind, name, value)] {
                let block = [GET, &literal, b"\x90"].concat();
                assert_eq!(found(&block, Of::Head), Ok(Found::Malformed(GET.len())), "{name:?}");
            }
        }
    }
}

#[test]
fn pseudo_fields_are_none_of_trailers() {
    let dynamic = [&b"\x40\x05:path\x01/"[..], b"\xbe"].concat();
    let mut blocks = Blocks::new();
    assert_eq!(blocks.look(&dynamic, Of::Head), Ok(Found::Clean));
    for block in [&b"\x82"[..], b"\x84", b"\x88", b"\x04\x01/", b"\x00\x05:path\x01/", b"\xbe"] {
        assert_eq!(blocks.look(block, Of::Trailers), Ok(Found::Malformed(0)), "{block:?}");
    }
    assert_eq!(blocks.look(b"\x90", Of::Trailers), Ok(Found::Clean));
}

#[test]
fn what_cannot_be_unpacked_is_broken() {
    for block in [
        &b"\xff"[..],
        b"\xff\x80\x80\x80\x80\x01",
        b"\x40",
        b"\x40\x03x-",
        b"\x40\x03x-a",
        b"\x40\x03x-a\x02b",
        b"\x40\x83\xff\xff\xff\x00",
        b"\x40\x03x-a\x84\xff\xff\xff\xff",
        b"\x3f",
    ] {
        assert_eq!(found(block, Of::Head), Err(Broken), "{block:x?}");
    }
}

fn mended(blocks: &mut Blocks, block: &[u8], of: Of) -> Result<Vec<u8>, Broken> {
    match blocks.look(block, of)? {
        Found::Clean => panic!("{block:x?} is clean"),
        Found::Malformed(from) => blocks.mend(block, from, of),
    }
}

#[test]
fn what_enters_no_table_is_left_out() {
    for literal in [spelt(PASSES, b"X", b"1"), packed(NEVER, b"x", b"\0"), b"\x02\x00".to_vec()] {
        let block = [GET, &literal, b"\x90"].concat();
        let expected = [GET, b"\x90", MARK_OF_HEAD].concat();
        assert_eq!(mended(&mut Blocks::new(), &block, Of::Head), Ok(expected));
        let expected = [b"\x90", MARK_OF_TRAILERS].concat();
        let trailers = [&b"\x90"[..], &literal].concat();
        assert_eq!(mended(&mut Blocks::new(), &trailers, Of::Trailers), Ok(expected));
    }
}

#[test]
fn what_enters_the_table_keeps_its_size() {
    let ones = |length: usize| vec![b'1'; length];
    // What is sent, and the name and value that the crate has in its place.
    let entries: [(Vec<u8>, Vec<u8>); 9] = [
        (spelt(ENTERS, b"X-Upper", b"abc"), packed(ENTERS, &ones(7), &ones(3))),
        (packed(ENTERS, b"X-Upper", b"abc"), packed(ENTERS, &ones(7), &ones(3))),
        (spelt(ENTERS, b"", b"abc"), packed(ENTERS, &ones(1), &ones(2))),
        (spelt(ENTERS, b":audience", b""), packed(ENTERS, &ones(9), &ones(0))),
        (spelt(ENTERS, b"x-a", b"\0"), [&b"\x40\x03x-a\x81"[..], &pack(b"1")].concat()),
        (b"\x53\x02\0a".to_vec(), [&b"\x53\x82"[..], &pack(b"11")].concat()),
        (b"\x42\x03G T".to_vec(), [&b"\x42\x82"[..], &pack(b"111")].concat()),
        (b"\x42\x00".to_vec(), packed(ENTERS, &ones(7), b"")),
        (b"\x48\x0220".to_vec(), packed(ENTERS, &ones(7), &ones(2))),
    ];
    for (sent, expected) in entries {
        let expected = [&expected, MARK_OF_HEAD].concat();
        assert_eq!(mended(&mut Blocks::new(), &sent, Of::Head), Ok(expected), "{sent:x?}");
    }
    let nothing = spelt(ENTERS, b"", b"");
    assert_eq!(mended(&mut Blocks::new(), &nothing, Of::Head), Err(Broken), "none is as small");
}

#[test]
fn what_refers_to_a_malformed_entry_is_malformed_too() {
    let mut blocks = Blocks::new();
    let block = [spelt(ENTERS, b"x-a", b"\0"), spelt(ENTERS, b"X", b"1"), spelt(ENTERS, b"", b"2")];
    mended(&mut blocks, &block.concat(), Of::Head).expect("it can be mended");
    // By its name and value.
    for index in [b"\xbe", b"\xbf", b"\xc0"] {
        assert_eq!(mended(&mut blocks, index, Of::Head), Ok(MARK_OF_HEAD.to_vec()));
        assert_eq!(mended(&mut blocks, index, Of::Trailers), Ok(MARK_OF_TRAILERS.to_vec()));
    }
    // By its name, where that is none.
    for name in [b"\x0f\x2f\x01a", b"\x0f\x30\x01a"] {
        assert_eq!(mended(&mut blocks, name, Of::Head), Ok(MARK_OF_HEAD.to_vec()));
    }
    assert_eq!(blocks.look(b"\x0f\x31\x01a", Of::Head), Ok(Found::Clean), "`x-a` is a name");
    let again = [&b"\x7e\x81"[..], &pack(b"1")].concat();
    let expected = [&again, MARK_OF_HEAD].concat();
    assert_eq!(mended(&mut blocks, b"\x7e\x02ab", Of::Head), Ok(expected), "a byte is the name's");
    let expected = [&b"\x40\x03x-b\x00"[..], MARK_OF_HEAD].concat();
    assert_eq!(mended(&mut blocks, b"\x40\x03x-b\x00\x02\x00", Of::Head), Ok(expected));
    // They are pushed on by what enters later, and out at last.
    assert_eq!(blocks.look(b"\xbe", Of::Head), Ok(Found::Clean));
    assert_eq!(blocks.look(b"\xbf", Of::Head), Ok(Found::Malformed(0)));
    let many = spelt(ENTERS, b"x", b"").repeat(ENTRIES_MAX);
    assert_eq!(blocks.look(&many, Of::Head), Ok(Found::Clean));
    assert_eq!(blocks.spoilt, 0);
}

#[test]
fn fillers_are_short_and_no_longer_than_the_table() {
    let long = vec![b'\0'; 5000];
    let mut block = vec![0x40, 1, b'x', 0x7f, 0x89, 0x26];
    block.extend(&long);
    let mended = mended(&mut Blocks::new(), &block, Of::Head).expect("it can be mended");
    let mut expected = vec![0x40, 1, b'x', 0xff, 0x81, 0x13];
    expected.extend(pack(&[b'1'; 4096]));
    expected.extend(MARK_OF_HEAD);
    assert_eq!(mended, expected);
}

#[test]
fn the_size_of_the_table_is_changed_at_the_beginning_and_nowhere_else() {
    let sent = [b"\x20\x3f\xe1\x1f", &*spelt(PASSES, b"X", b"1")].concat();
    let expected = [b"\x20\x3f\xe1\x1f", MARK_OF_HEAD].concat();
    assert_eq!(mended(&mut Blocks::new(), &sent, Of::Head), Ok(expected));
    assert_eq!(Blocks::new().mend(b"\x20\x82", 0, Of::Head), Ok(b"\x20\x82\0\x01\"\0".to_vec()));
    let late = [&*spelt(PASSES, b"X", b"1"), b"\x20"].concat();
    assert_eq!(mended(&mut Blocks::new(), &late, Of::Head), Err(Broken));
}
