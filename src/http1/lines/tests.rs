//! Heads that are cut into lines, and what is left of them on the other side.

use super::*;

fn lines(head: &'static str) -> Lines {
    let bytes = Bytes::from_static(head.as_bytes());
    let of = |cut: &Cut<'_>| Known::of_answer(cut.name);
    let (mut lines, end) = Lines::cut(&bytes, 0, 10, of).expect("fields");
    assert_eq!(end, bytes.len());
    let settled: Result<(), ()> = lines.settle(&bytes, |_, _, _| Err(()));
    assert_eq!(settled, Ok(()));
    lines
}

fn written(lines: &Lines, but: Option<Known>) -> String {
    let mut text = BytesMut::from("-");
    lines.append_to(&mut text, but);
    String::from_utf8(text.to_vec()).expect("text")
}

fn listed(map: &HeaderMap) -> Vec<(&str, &str)> {
    map.iter().map(|(name, value)| (name.as_str(), value.to_str().expect("text"))).collect()
}

#[test]
fn what_came_as_it_is_written_goes_out_byte_for_byte_and_the_rest_in_that_form() {
    let lines = lines("A: 1\r\nB-c: d: e\r\nF:2\r\ng:\t 3 \r\nH: \r\nI:\r\nJ: 4\r\n\r\n");
    let expected = "-A: 1\r\nB-c: d: e\r\nF: 2\r\ng: 3\r\nH: \r\nI: \r\nJ: 4\r\n";
    assert_eq!(written(&lines, None), expected);
    assert_eq!(written(&Lines::default(), None), "-");
}

#[test]
fn what_is_added_comes_last() {
    let mut lines = lines("A: 1\r\n\r\n");
    lines.add().extend_from_slice(b"b: 2\r\n");
    assert_eq!(written(&lines, None), "-A: 1\r\nb: 2\r\n");
    let mut map = HeaderMap::new();
    lines.pour(&mut map);
    assert_eq!(listed(&map), [("a", "1"), ("b", "2")]);
}

#[test]
fn a_kind_can_be_left_out_wherever_it_stands() {
    for (head, rest) in [
        ("Content-Length: 5\r\nA: 1\r\nB: 2\r\n\r\n", "-A: 1\r\nB: 2\r\n"),
        ("A: 1\r\ncontent-length:5\r\nB: 2\r\n\r\n", "-A: 1\r\nB: 2\r\n"),
        ("A: 1\r\nB: 2\r\nContent-Length: 5\r\n\r\n", "-A: 1\r\nB: 2\r\n"),
        ("Content-Length: 5\r\n\r\n", "-"),
    ] {
        let mut lines = lines(head);
        assert_eq!(lines.get(Known::ContentLength), Some(&b"5"[..]));
        assert_eq!(written(&lines, Some(Known::ContentLength)), rest);
        lines.remove(&[http::header::CONTENT_LENGTH]);
        assert_eq!(written(&lines, None), rest);
        assert!(!lines.has(Known::ContentLength));
    }
}

#[test]
fn all_fields_of_a_name_are_brought_into_the_map_in_their_order() {
    let mut lines = lines("A: 1\r\nX-App: a\r\nB: 2\r\nx-app:b\r\n\r\n");
    let (mut map, name) = (HeaderMap::new(), HeaderName::from_static("x-app"));
    lines.bring(&HeaderName::from_static("x-ape"), &mut map);
    assert!(map.is_empty());
    lines.bring(&name, &mut map);
    assert_eq!(listed(&map), [("x-app", "a"), ("x-app", "b")]);
    assert_eq!(written(&lines, None), "-A: 1\r\nB: 2\r\n");
    lines.bring(&name, &mut map);
    assert_eq!((map.len(), lines.len()), (2, 2));
}

#[test]
fn few_and_many_names_are_removed_alike() {
    for others in [0, 1, NAMES_FEW, 5_000] {
        let mut lines = lines("A: 1\r\nX-App: a\r\nB: 2\r\nx-APP:b\r\nDate: c\r\n\r\n");
        let mut names = vec![HeaderName::from_static("x-app"), http::header::DATE];
        names.extend((0..others).map(|n| HeaderName::try_from(format!("x-{n}")).expect("it")));
        lines.remove(&names);
        assert_eq!(written(&lines, None), "-A: 1\r\nB: 2\r\n", "{others}");
    }
}

#[test]
fn what_does_not_pass_is_taken_out() {
    let bytes = Bytes::from_static(b"TE: a\r\nA: 1\r\nX-Usher-Slo: bad\r\n\r\nbody");
    let of = |cut: &Cut<'_>| Known::of_answer(cut.name);
    assert_eq!(Lines::cut(&bytes, 0, 2, of).err(), Some(Uncut::TooMany));
    assert_eq!(Lines::cut(&bytes[..30], 0, 9, of).err(), Some(Uncut::Malformed));
    let (mut lines, end) = Lines::cut(&bytes, 0, 3, of).expect("fields");
    assert_eq!(&bytes[end..], b"body");
    let mut kept = Vec::new();
    let settled: Result<(), ()> = lines.settle(&bytes, |known, name, value| {
        kept.push((known, name.to_vec(), value));
        Ok(())
    });
    assert_eq!(settled, Ok(()));
    let names: Vec<_> = kept.iter().map(|(_, name, _)| &name[..]).collect();
    assert_eq!(names, [&b"TE"[..], b"X-Usher-Slo"]);
    assert_eq!(kept[1].2, "bad");
    assert_eq!(written(&lines, None), "-A: 1\r\n");
}

#[test]
fn kinds_are_found_however_they_are_written() {
    let lines = lines("CONTENT-TYPE: text/html\r\nA: 1\r\ncontent-type:x\r\n\r\n");
    assert!(lines.has(Known::ContentType) && !lines.has(Known::Date));
    let all: Vec<_> = lines.all(Known::ContentType).collect();
    assert_eq!(all, [&b"text/html"[..], b"x"]);
    assert_eq!(lines.share(Known::ContentType).expect("a value"), "text/html");
}

#[test]
fn what_is_laid_one_by_one_is_what_would_have_been_cut() {
    let mut laying = Laying::new(2, 10);
    laying.lay(b"host", b"shop.example", Known::Host);
    laying.lay(b"cookie", b"a=1", Known::Other);
    laying.extend(b"; ", b"b=2");
    laying.extend(b"; ", b"");
    laying.lay(b"x-empty", b"", Known::Other);
    laying.lay(b"content-length", b"5", Known::ContentLength);
    let mut laid = laying.done();
    let text = "-host: shop.example\r\ncookie: a=1; b=2; \r\nx-empty: \r\ncontent-length: 5\r\n";
    assert_eq!(written(&laid, None), text);
    assert_eq!(
        written(&laid, Some(Known::ContentLength)),
        text.replace("content-length: 5\r\n", "")
    );
    assert_eq!(laid.share(Known::Host).expect("a value"), "shop.example");
    let mut map = HeaderMap::new();
    laid.bring(&http::header::COOKIE, &mut map);
    assert_eq!(listed(&map), [("cookie", "a=1; b=2; ")]);
    assert_eq!(laid.len(), 3);
    let mut nothing = Laying::new(0, 0);
    nothing.extend(b"; ", b"b=2");
    assert!(nothing.done().is_empty());
}
