//! Headers as load balancers and attackers write them.

use proptest::prelude::*;

use super::*;

/// Reads `bytes` as a door does: never shown more than was asked for.
fn read(bytes: &[u8]) -> Result<(Source, usize), HeaderError> {
    let mut shown = 0;
    loop {
        match look(&bytes[..shown])? {
            Progress::Whole(source) => return Ok((source, shown)),
            Progress::More(more) => {
                assert!(more > 0);
                if shown + more > bytes.len() {
                    return Err(HeaderError::Absent);
                }
                shown += more;
            }
        }
    }
}

fn from(source: &str, destination: &str) -> Source {
    let parse = |text: &str| text.parse().expect("an address");
    Source::Client { source: parse(source), destination: parse(destination) }
}

fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("it is short").to_be_bytes();
    [&SIGNATURE[..], &[command, family], &length, rest].concat()
}

#[test]
fn a_line_of_text_is_read_to_its_exact_end() {
    let known = from("192.0.2.1:56324", "198.51.100.7:443");
    let line = "PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n";
    assert_eq!(read(format!("{line}GET / HTTP/1.1\r\n").as_bytes()), Ok((known, line.len())));
    let six = "PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n";
    let known = from("[2001:db8::1]:1", "[2001:db8::2]:65535");
    assert_eq!(read(format!("{six}\r\n").as_bytes()), Ok((known, six.len())));
    for line in ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN ffff:f:f 1 2 3 anything\r\n"] {
        assert_eq!(read(format!("{line}x").as_bytes()), Ok((Source::Sender, line.len())));
    }
}

#[test]
fn text_that_could_be_read_in_two_ways_is_refused() {
    for line in [
        "PROXY TCP4 192.0.2.1 198.51.100.7 56324\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 56324 443 1\r\n",
        "PROXY TCP4  192.0.2.1 198.51.100.7 56324 443\r\n",
        "PROXY TCP4 192.0.2.01 198.51.100.7 56324 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 056324 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 65536 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 +1 443 \r\n",
        "PROXY TCP4 ::1 ::2 1 443 and so on padding\r\n",
        "PROXY TCP6 192.0.2.1 198.51.100.7 56324 443\r\n",
        "PROXY UDP4 192.0.2.1 198.51.100.7 56324 443\r\n",
        "PROXY tcp4 192.0.2.1 198.51.100.7 56324 443\r\n",
        "PROXY TCP4\t192.0.2.1 198.51.100.7 56324 443\r\n",
        "PROXY TCP4 192.0.2.1\n198.51.100.7 56324 443\r\n",
    ] {
        assert_eq!(read(line.as_bytes()), Err(HeaderError::Malformed), "{line}");
    }
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
    assert_eq!(read(long.as_bytes()), Err(HeaderError::TooLong));
    for other in ["GET / HTTP/1.1\r\n", "PRI * HTTP/2.0", "\x16\x03\x01", "\r\n\r\n\r\n\r\n\r\n"] {
        assert_eq!(read(other.as_bytes()), Err(HeaderError::Absent), "{other}");
    }
}

#[test]
fn a_binary_header_is_read_to_its_exact_end() {
    let four = [192, 0, 2, 1, 198, 51, 100, 7, 0, 80, 1, 187];
    let known = from("192.0.2.1:80", "198.51.100.7:443");
    let header = v2(0x21, 0x11, &four);
    assert_eq!(read(&[&header[..], b"GET"].concat()), Ok((known, header.len())));
    // A VPC endpoint's id, as an NLB says it.
    let header = v2(0x21, 0x11, &[&four[..], &[0xea, 0, 3, 1, b'v', b'p']].concat());
    assert_eq!(read(&header), Ok((known, header.len())));
    for header in [v2(0x20, 0x00, &[]), v2(0x20, 0x11, &four), v2(0x21, 0x31, &[0; 216])] {
        assert_eq!(read(&header), Ok((Source::Sender, header.len())));
    }
}

#[test]
fn a_binary_header_that_contradicts_itself_is_refused() {
    let four = [192, 0, 2, 1, 198, 51, 100, 7, 0, 80, 1, 187];
    for header in [
        v2(0x11, 0x11, &four),
        v2(0x22, 0x11, &four),
        v2(0x21, 0x12, &four),
        v2(0x21, 0x41, &four),
        v2(0x21, 0x11, &four[..11]),
        v2(0x21, 0x21, &four),
        v2(0x21, 0x11, &[&four[..], &[4]].concat()),
        v2(0x21, 0x11, &[&four[..], &[4, 0, 2, 0]].concat()),
        v2(0x21, 0x11, &[&four[..], &[3, 0, 3, 0, 0, 0]].concat()),
    ] {
        assert_eq!(read(&header), Err(HeaderError::Malformed), "{header:02x?}");
    }
    assert_eq!(read(&v2(0x21, 0x11, &[0; 5000])), Err(HeaderError::TooLong));
}

#[test]
fn a_checksum_has_to_be_right() {
    assert_eq!(crc32c(b"123456789".iter()), 0xe306_9283);
    let rest = [192, 0, 2, 1, 198, 51, 100, 7, 0, 80, 1, 187, 3, 0, 4, 0, 0, 0, 0, 4, 0, 1, 9];
    let mut header = v2(0x21, 0x11, &rest);
    assert_eq!(read(&header), Err(HeaderError::Checksum));
    let sum = crc32c(header.iter()).to_be_bytes();
    header[31..35].copy_from_slice(&sum);
    assert!(read(&header).is_ok());
}

#[test]
fn what_is_on_nobodys_behalf_is_read_as_the_senders_own() {
    for version in [Version::V1, Version::V2] {
        let header = write_local(version);
        assert_eq!(read(&header), Ok((Source::Sender, header.len())));
    }
}

proptest! {
    #[test]
    fn whatever_comes_is_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes);
        let _ = read(&[&SIGNATURE[..], &bytes].concat());
        let _ = read(&[b"PROXY TCP4 ", &bytes[..]].concat());
    }

    #[test]
    fn what_is_written_is_read_back(
        source in any::<(bool, [u8; 16], u16)>(),
        destination in any::<(bool, [u8; 16], u16)>(),
        version in prop::sample::select(vec![Version::V1, Version::V2]),
    ) {
        let address = |(four, octets, port): (bool, [u8; 16], u16)| match four {
            true => SocketAddr::from(([octets[0], octets[1], octets[2], octets[3]], port)),
            false => SocketAddr::from((octets, port)),
        };
        let (source, destination) = (address(source), address(destination));
        let header = write(version, source, destination);
        let (read, end) = read(&header).expect("it is a header");
        prop_assert_eq!(end, header.len());
        let Source::Client { source: from, destination: to } = read else { panic!("{read:?}") };
        prop_assert_eq!(from.ip().to_canonical(), source.ip().to_canonical());
        prop_assert_eq!(to.ip().to_canonical(), destination.ip().to_canonical());
        prop_assert_eq!((from.port(), to.port()), (source.port(), destination.port()));
    }
}
