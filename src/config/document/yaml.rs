//! From YAML to nodes.
//!
//! The parser tells what stands where, event by event, and nothing here gives a scalar a type: what
//! stands in the file (`1.10`, `off`) is what a reader gets. Aliases become copies of what they
//! stand for, within limits.

use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, ScanError, StrInput, Tag};
use rustc_hash::FxHashMap;

use super::tree::{Entry, Kind, Node, Scalar};
use crate::{config::source::Span, stride::pause};

/// The deepest nesting.
const DEPTH_MAX: usize = 32;
/// The most scalars, lists and mappings of a file: enough for 100,000 rules.
const NODES_MAX: usize = 1_500_000;
/// The most bytes of all scalars, with what aliases repeat.
const BYTES_MAX: usize = 64 << 20;
/// The most anchors of a file.
const ANCHORS_MAX: usize = 1_000;
/// The most aliases of a file.
const ALIASES_MAX: usize = 10_000;
/// The most nodes that aliases may repeat.
const REPEATED_MAX: usize = 100_000;
/// The most nodes that may stand behind anchors, those within others counted for each.
const ANCHORED_MAX: usize = 1_000_000;

/// Why a text is no YAML.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    pub(crate) span: Span,
    pub(crate) message: String,
}

/// Reads `text`, which is file number `file`. An empty text is nothing.
pub(crate) fn parse(text: &str, file: u32) -> Result<Node, Broken> {
    let options = granit_parser::options! {
        emit_comments: false,
        flow_nesting_limit: DEPTH_MAX,
    };
    let events = Parser::new_from_str_with_options(text, options);
    let mut reading =
        Reading { events, file, depth: 0, size: Size::default(), repeats: Repeats::default() };
    let root = match reading.next_of_a_document()? {
        Some((event, span)) => reading.node(event, span)?,
        None => Node { span: Span { file, ..Span::default() }, kind: Kind::Nothing },
    };
    match reading.next_of_a_document()? {
        None => Ok(root),
        Some((_, span)) => {
            let message = "a second document begins here, and a configuration is one";
            Err(Broken { span: first_of(span), message: message.to_owned() })
        }
    }
}

/// A text that is being read.
struct Reading<'a> {
    events: Parser<'a, StrInput<'a>>,
    file: u32,
    depth: usize,
    /// What has been read, with what aliases repeat.
    size: Size,
    repeats: Repeats,
}

/// How much a node holds.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    nodes: usize,
    /// Of scalars and keys.
    bytes: usize,
}

/// What anchors and aliases add to a text.
#[derive(Default)]
struct Repeats {
    /// What stands behind each anchor, once it has been read whole.
    anchored: FxHashMap<usize, (Node, Size)>,
    anchors: usize,
    aliases: usize,
    nodes_anchored: usize,
    nodes_repeated: usize,
}

/// What kind of node a tag stands before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tagged {
    Scalar,
    List,
    Mapping,
}

// === impl Reading ===

impl<'a> Reading<'a> {
    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, Broken> {
        pause();
        match self.events.next_event() {
            None => Ok(None),
            Some(Ok((event, at))) => Ok(Some((event, place(self.file, at.start, at.len())))),
            Some(Err(error)) => Err(broken(&error, self.file)),
        }
    }

    /// The next event that belongs to a document, not to what surrounds it.
    fn next_of_a_document(&mut self) -> Result<Option<(Event<'a>, Span)>, Broken> {
        while let Some((event, span)) = self.next()? {
            match event {
                Event::StreamStart
                | Event::StreamEnd
                | Event::DocumentStart(..)
                | Event::DocumentEnd => {}
                _ => return Ok(Some((event, span))),
            }
        }
        Ok(None)
    }

    /// The next event within a list or a mapping; the parser ends none of them early.
    fn next_inside(&mut self, open: Span) -> Result<(Event<'a>, Span), Broken> {
        self.next()?.ok_or_else(|| not_yaml(open, "unexpected end of file"))
    }

    fn node(&mut self, event: Event<'a>, span: Span) -> Result<Node, Broken> {
        let before = self.size;
        let (kind, anchor) = match event {
            Event::Alias(anchor) => return self.alias(anchor, span),
            Event::Scalar(text, style, anchor, tag) => {
                accept(tag.as_deref(), Tagged::Scalar, span)?;
                self.grow(1, text.len(), span)?;
                // Where nothing stands, the parser says `~` and gives it no length.
                let is_text = tag.as_deref().is_some_and(says_text);
                let kind = match style == ScalarStyle::Plain && span.length == 0 && !is_text {
                    true => Kind::Nothing,
                    false => Kind::Scalar(Scalar::plain(text.into_owned())),
                };
                (kind, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                accept(tag.as_deref(), Tagged::List, span)?;
                (self.list(span)?, anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                accept(tag.as_deref(), Tagged::Mapping, span)?;
                (self.mapping(span)?, anchor)
            }
            _ => return Err(not_yaml(span, "this is no value")),
        };
        let length = if matches!(kind, Kind::Scalar(_)) { span.length } else { 1 };
        let node = Node { span: Span { length, ..span }, kind };
        if anchor != 0 {
            self.keep(anchor, &node, self.size.since(before))?;
        }
        Ok(node)
    }

    fn list(&mut self, span: Span) -> Result<Kind, Broken> {
        self.descend(span)?;
        let mut items = Vec::new();
        loop {
            match self.next_inside(span)? {
                (Event::SequenceEnd, _) => break,
                (event, at) => items.push(self.node(event, at)?),
            }
        }
        self.depth -= 1;
        Ok(Kind::List(items))
    }

    fn mapping(&mut self, span: Span) -> Result<Kind, Broken> {
        self.descend(span)?;
        let mut entries = Vec::new();
        loop {
            let key = match self.next_inside(span)? {
                (Event::MappingEnd, _) => break,
                (event, at) => self.node(event, at)?,
            };
            let (event, at) = self.next_inside(span)?;
            let value = self.node(event, at)?;
            entries.push(Entry { key_span: key.span, key: key_text(key), value });
        }
        self.depth -= 1;
        Ok(Kind::Mapping(entries))
    }

    fn descend(&mut self, span: Span) -> Result<(), Broken> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(too_deep(span));
        }
        self.grow(1, 0, span)
    }

    fn grow(&mut self, nodes: usize, bytes: usize, span: Span) -> Result<(), Broken> {
        self.size.nodes += nodes;
        self.size.bytes += bytes;
        if self.size.nodes > NODES_MAX {
            let message = format!("this file holds more than {NODES_MAX} values");
            return Err(Broken { span: first_of(span), message });
        }
        if self.size.bytes > BYTES_MAX { Err(repeats_itself(span)) } else { Ok(()) }
    }

    /// Remembers what stands behind an anchor.
    fn keep(&mut self, anchor: usize, node: &Node, size: Size) -> Result<(), Broken> {
        let repeats = &mut self.repeats;
        repeats.anchors += 1;
        repeats.nodes_anchored += size.nodes;
        if repeats.anchors > ANCHORS_MAX || repeats.nodes_anchored > ANCHORED_MAX {
            return Err(repeats_itself(node.span));
        }
        repeats.anchored.insert(anchor, (node.clone(), size));
        Ok(())
    }

    /// A copy of what stands behind an anchor, where the alias stands.
    fn alias(&mut self, anchor: usize, span: Span) -> Result<Node, Broken> {
        let repeats = &mut self.repeats;
        let Some((node, size)) = repeats.anchored.get(&anchor) else {
            let message = "this stands for a value that holds it".to_owned();
            return Err(Broken { span: first_of(span), message });
        };
        repeats.aliases += 1;
        repeats.nodes_repeated += size.nodes;
        if repeats.aliases > ALIASES_MAX || repeats.nodes_repeated > REPEATED_MAX {
            return Err(repeats_itself(span));
        }
        if self.depth + node.depth() > DEPTH_MAX {
            return Err(too_deep(span));
        }
        let (size, mut node) = (*size, node.clone());
        node.move_to(span);
        self.grow(size.nodes, size.bytes, span)?;
        Ok(node)
    }
}

// === impl Size ===

impl Size {
    fn since(self, before: Self) -> Self {
        Self { nodes: self.nodes - before.nodes, bytes: self.bytes - before.bytes }
    }
}

/// Whether a tag that is YAML's own stands before the right kind of node. What a scalar is said to
/// be is not looked at: whoever reads it decides.
fn accept(tag: Option<&Tag>, before: Tagged, span: Span) -> Result<(), Broken> {
    let Some(tag) = tag else { return Ok(()) };
    let fits = match tag.core_suffix() {
        Some("seq") => before == Tagged::List,
        Some("map") => before == Tagged::Mapping,
        Some(_) => before == Tagged::Scalar,
        None => is_plain(tag),
    };
    if fits {
        Ok(())
    } else {
        Err(not_yaml(span, &format!("unsupported tag `{}`", tag.original())))
    }
}

/// Whether a tag says that a scalar is text, so that an empty one is not nothing.
fn says_text(tag: &Tag) -> bool {
    is_plain(tag) || tag.core_suffix() == Some("str")
}

/// Whether a tag is `!`, which says nothing more than that.
fn is_plain(tag: &Tag) -> bool {
    tag.suffix_in_namespace("!").is_some_and(|name| name.is_empty() || name == "!")
}

/// A key that is no scalar becomes one that nobody knows, so that it is reported as such.
fn key_text(key: Node) -> String {
    match key.kind {
        Kind::Scalar(scalar) => scalar.text,
        Kind::Nothing => String::new(),
        Kind::List(_) => "[…]".to_owned(),
        Kind::Mapping(_) => "{…}".to_owned(),
    }
}

fn broken(error: &ScanError, file: u32) -> Broken {
    let span = place(file, *error.marker(), 1);
    match error.kind() {
        ErrorKind::UnknownAnchor => not_yaml(span, "reference to unknown value"),
        _ => not_yaml(span, &error.info()),
    }
}

fn place(file: u32, start: Marker, length: usize) -> Span {
    // A file is bounded far below that.
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Span {
        file,
        line: number(start.line()),
        column: number(start.col() + 1),
        length: number(length),
    }
}

fn not_yaml(span: Span, reason: &str) -> Broken {
    Broken { span: first_of(span), message: format!("this is not YAML: {reason}") }
}

fn too_deep(span: Span) -> Broken {
    let message = format!("this is nested deeper than {DEPTH_MAX} levels");
    Broken { span: first_of(span), message }
}

fn repeats_itself(span: Span) -> Broken {
    let message = "this file repeats itself more than it may: too many anchors or aliases";
    Broken { span: first_of(span), message: message.to_owned() }
}

fn first_of(span: Span) -> Span {
    Span { length: 1, ..span }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalars(text: &str) -> Vec<String> {
        let mut node = parse(text, 0).expect("YAML");
        let mut found = Vec::new();
        node.for_each_scalar(&mut |_, scalar| found.push(scalar.text.clone()));
        found
    }

    #[test]
    fn scalars_are_taken_as_written() {
        let text = "[2, true, 1.10, off, 0x10, 007, 1_000, .nan, 1e999, ~, null, 'a b', \"2\"]";
        let expected =
            ["2", "true", "1.10", "off", "0x10", "007", "1_000", ".nan", "1e999", "~", "null"];
        assert_eq!(scalars(text)[..11], expected);
        assert_eq!(scalars(text)[11..], ["a b", "2"]);
        let block = "a: 2   # two\nb: 1.10\nc: &x on\nd: *x\ne: !!str 5\nf: &y !!int 5\ng: *y\n";
        assert_eq!(scalars(block), ["2", "1.10", "on", "on", "5", "5", "5"]);
        assert_eq!(scalars("\u{feff}ä: 1.50\r\nb: 2.50\r\n"), ["1.50", "2.50"]);
    }

    #[test]
    fn keys_keep_their_order_their_duplicates_and_their_places() {
        let node = parse("b: 1\na:\n  1.10: x\nb: 2\n<<: 3\n", 7).expect("YAML");
        let keys: Vec<&str> = node.entries().iter().map(|entry| entry.key.as_str()).collect();
        assert_eq!(keys, ["b", "a", "b", "<<"]);
        let inner = &node.entries()[1].value.entries()[0];
        assert_eq!(inner.key, "1.10");
        assert_eq!(inner.key_span, Span { file: 7, line: 3, column: 3, length: 4 });
        assert_eq!(inner.value.span, Span { file: 7, line: 3, column: 9, length: 1 });
    }

    #[test]
    fn what_is_no_yaml_says_where() {
        let broken = parse("a: [1\nb: 2\n", 0).expect_err("no YAML");
        assert!(broken.span.line >= 1, "{broken:?}");
        assert!(parse(&"[".repeat(100), 0).is_err());
        assert!(parse("a: 1\n---\nb: 2\n", 0).is_err());
        assert!(parse("a: *nowhere\n", 0).is_err());
        assert!(parse("a: !custom x\n", 0).is_err());
    }
}
