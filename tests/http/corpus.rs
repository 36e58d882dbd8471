//! Reads `corpus.txt`, whose first lines say how it is written.

use std::sync::LazyLock;

use regex::Regex;

/// A plain request that follows each input.
pub const NEXT: &[u8] = b"GET /next HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n";

/// One input, and what must become of it.
#[derive(Clone, Debug, Default)]
pub struct Case {
    pub title: String,
    /// `ok` or the name of a fault for each answer, then perhaps `close` or `left`.
    pub expect: Vec<String>,
    pub seen: Vec<String>,
    pub has: Vec<(String, Vec<u8>)>,
    pub lacks: Vec<String>,
    pub body: Option<Vec<u8>>,
    pub bytes: Vec<u8>,
}

/// A group as it is written, before its items stand in their places.
#[derive(Default)]
struct Group {
    title: String,
    keys: Vec<(String, String)>,
    frame: String,
    items: Vec<String>,
}

pub fn all() -> Vec<Case> {
    let text = include_str!("corpus.txt");
    let groups = text.split("\n== ").skip(1).map(Group::read);
    groups.flat_map(|group| group.cases()).collect()
}

// === impl Case ===

impl Case {
    /// How many answers of the origin are expected, that to [`NEXT`] not counted.
    pub fn served(&self) -> usize {
        self.expect.iter().filter(|word| *word == "ok").count()
    }

    /// The fault that ends the connection.
    pub fn fault(&self) -> Option<&str> {
        let last = self.expect.last()?;
        (!["ok", "close", "left"].contains(&&**last)).then_some(last)
    }

    /// Whether the last word is this one.
    pub fn ends_in(&self, word: &str) -> bool {
        self.expect.last().is_some_and(|last| last == word)
    }
}

// === impl Group ===

impl Group {
    fn read(text: &str) -> Self {
        let mut lines = text.lines();
        let title = lines.next().expect("a title").to_owned();
        let mut group = Self { title, ..Self::default() };
        for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let rest = line[1..].strip_prefix(' ').unwrap_or(&line[1..]);
            match line.as_bytes()[0] {
                b'>' => group.frame += &format!("{rest}\\r\\n"),
                b'+' => group.frame += rest,
                b'-' => group.items.push(rest.to_owned()),
                _ => {
                    let (key, value) = line.split_once(": ").expect("a key and its value");
                    group.keys.push((key.to_owned(), value.to_owned()));
                }
            }
        }
        group
    }

    fn cases(&self) -> Vec<Case> {
        if self.items.is_empty() {
            return vec![self.case(self.title.clone(), None)];
        }
        let title = |item: &String| format!("{}: {item}", self.title);
        self.items.iter().map(|item| self.case(title(item), Some(item))).collect()
    }

    fn case(&self, title: String, item: Option<&String>) -> Case {
        let placed = |text: &str| match item {
            Some(item) => unescape(&text.replacen('@', item, usize::MAX)),
            None => unescape(text),
        };
        let text = |value: &str| String::from_utf8(placed(value)).expect("text");
        let mut case = Case { title, bytes: placed(&self.frame), ..Case::default() };
        for (key, value) in &self.keys {
            match key.as_str() {
                "expect" => case.expect = value.split(' ').map(str::to_owned).collect(),
                "why" | "alone" => {}
                "seen" => case.seen.push(text(value)),
                "has" => {
                    let (name, value) = value.split_once(": ").expect("a name and a value");
                    case.has.push((name.to_owned(), placed(value)));
                }
                "lacks" => case.lacks.push(value.clone()),
                "body" => case.body = Some(placed(value)),
                _ => panic!("{}: no such key: {key}", case.title),
            }
        }
        assert!(!case.expect.is_empty(), "{}: expects nothing", case.title);
        case
    }
}

/// Repeats what is to be repeated, then replaces escapes by their bytes.
fn unescape(text: &str) -> Vec<u8> {
    static REPEAT: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\{(\d+)\*([^{}]*)\}").expect("it is one"));
    let mut text = text.to_owned();
    while REPEAT.is_match(&text) {
        let repeat =
            |found: &regex::Captures<'_>| found[2].repeat(found[1].parse().expect("a number"));
        text = REPEAT.replace_all(&text, repeat).into_owned();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let (byte, length) = match (first, behind) {
            (b'\\', [b'r', ..]) => (b'\r', 2),
            (b'\\', [b'n', ..]) => (b'\n', 2),
            (b'\\', [b't', ..]) => (b'\t', 2),
            (b'\\', [b'\\', ..]) => (b'\\', 2),
            (b'\\', [b'x', high, low, ..]) => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).expect("ASCII");
                (u8::from_str_radix(digits, 16).expect("two hexadecimal digits"), 4)
            }
            (b'\\', _) => panic!("no such escape in {text}"),
            _ => (*first, 1),
        };
        bytes.push(byte);
        rest = &rest[length..];
    }
    bytes
}
