//! Taste, kept by a test: the floors of `ARCHITECTURE.md`, sizes, and where things may be named.
//!
//! It reads files as lines, not as Rust: it relies on `cargo fmt`, and on test modules standing
//! last in their file.

#![allow(clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use regex::Regex;

#[path = "tidy/transports.rs"]
mod transports;

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 60;
const COLUMNS_MAX: usize = 100;

/// Files that are longer, and how long they are. An entry may shrink or go, never grow or come.
const LONG_FILES: &[(&str, usize)] = &[];

/// Functions that are longer, as `file: name`. An entry may shrink or go, never grow or come.
const LONG_FUNCTIONS: &[(&str, usize)] = &[];

/// How far an entry above may lie above the truth before it has to be lowered.
const RATCHET_SLACK: usize = 10;

/// Words of someone who has not finished. Spelt in pieces, as this file is read as well.
const UNFINISHED: &[&str] =
    &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];

/// A file of ours: its path from the top, and its text.
struct File {
    path: String,
    text: String,
}

/// The table of `ARCHITECTURE.md`: the modules of the library by floor, from the ground up.
struct Floors(Vec<Vec<String>>);

// === impl File ===

impl File {
    /// What is not in a test module.
    fn product(&self) -> &str {
        if self.path.ends_with("/tests.rs") || self.path.contains("/tests/") {
            return "";
        }
        self.text.split("#[cfg(test)]\nmod ").next().unwrap_or_default()
    }

    /// What is in a test module, or all of it when the file is a test. Lines keep their numbers.
    fn trial(&self) -> String {
        if !self.path.starts_with("src/") {
            return self.text.clone();
        }
        let product = self.product();
        "\n".repeat(product.lines().count()) + &self.text[product.len()..]
    }

    /// The library's module that it belongs to: `edge` for `src/edge/h1/head.rs`.
    fn module(&self) -> &str {
        let inner = self.path.strip_prefix("src/").unwrap();
        inner.split(['/', '.']).next().unwrap()
    }

    /// Whether it is the module `name` (as in `config/document`) or inside it.
    fn is_in(&self, name: &str) -> bool {
        let inner = self.path.strip_prefix("src/").unwrap_or_default();
        inner == format!("{name}.rs") || inner.starts_with(&format!("{name}/"))
    }
}

// === impl Floors ===

impl Floors {
    fn read() -> Self {
        Self(block("floors").lines().map(|line| words(after_colon(line))).collect())
    }

    /// Floor and place on it, which compare as the order of imports.
    fn place(&self, module: &str) -> Option<(usize, usize)> {
        self.0.iter().enumerate().find_map(|(floor, modules)| {
            let place = modules.iter().position(|other| other == module)?;
            Some((floor, place))
        })
    }
}

#[test]
fn the_table_of_floors_names_every_module_once_and_on_its_floor() {
    let map = fs::read_to_string(top().join("src/lib.rs")).unwrap();
    let mut written: Vec<Vec<String>> = Vec::new();
    for line in map.lines() {
        if line.starts_with("// F") {
            written.push(Vec::new());
        } else if let Some(module) = line.strip_prefix("pub mod ") {
            let floor = written.last_mut().expect("a floor is named before its modules");
            floor.push(module.trim_end_matches(';').to_owned());
        }
    }
    let sorted = |floors: &[Vec<String>]| -> Vec<BTreeSet<String>> {
        floors.iter().map(|modules| modules.iter().cloned().collect()).collect()
    };
    let table = Floors::read();
    assert_eq!(sorted(&written), sorted(&table.0), "src/lib.rs and ARCHITECTURE.md differ");
    let all: Vec<_> = table.0.iter().flatten().collect();
    assert_eq!(all.len(), all.iter().collect::<BTreeSet<_>>().len(), "a module stands twice");
}

#[test]
fn modules_import_only_from_below() {
    let floors = Floors::read();
    let mut wrong = String::new();
    for file in sources() {
        if matches!(file.path.as_str(), "src/lib.rs" | "src/main.rs") {
            continue;
        }
        let here = floors.place(file.module());
        for module in imports(file.product()) {
            let fine = module == file.module()
                || floors.place(&module).is_some_and(|there| Some(there) < here);
            if !fine {
                writeln!(wrong, "{} imports crate::{module}", file.path).unwrap();
            }
        }
        if file.product().contains("super::super::") {
            writeln!(wrong, "{} climbs by super::super::, say crate::", file.path).unwrap();
        }
    }
    assert!(wrong.is_empty(), "against the floors of ARCHITECTURE.md:\n{wrong}");
}

#[test]
fn imports_are_found_however_they_are_written() {
    let text = "use crate::{\n    a::{b, c::D},\n    e,\n    f::{self},\n};\nuse crate::g;\n\
                let h = crate::i::j(crate::K);\n// crate::l\n//! [`crate::m`]\n";
    assert_eq!(imports(text), ["a", "e", "f", "g", "i"]);
}

#[test]
fn files_and_functions_are_of_a_size_to_read() {
    let mut files = BTreeMap::new();
    let mut functions = BTreeMap::new();
    for file in rust_files() {
        let lines: Vec<_> = file.text.lines().collect();
        files.insert(file.path.clone(), lines.len());
        for (name, length) in function_lengths(&lines) {
            functions.insert(format!("{}: {name}", file.path), length);
        }
    }
    let mut wrong = ratchet(&files, FILE_LINES_MAX, LONG_FILES);
    wrong += &ratchet(&functions, FUNCTION_LINES_MAX, LONG_FUNCTIONS);
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn lengths_of_functions_are_counted_from_their_first_line_to_their_last() {
    let text = r"fn short() {}

impl A {
    pub async fn long(
        a: u8,
    ) {
        b;
    }

    fn promised(&self) -> u8;

    pub(crate) const fn one() -> u8 {
        1
    }
}
";
    let lines: Vec<_> = text.lines().collect();
    let counted: Vec<_> = function_lengths(&lines).collect();
    assert_eq!(counted, [("short".into(), 1), ("long".into(), 5), ("one".into(), 3)]);
}

#[test]
fn lines_are_not_wider_than_the_page() {
    let wide = find(rust_files(), |_, line| line.chars().count() > COLUMNS_MAX);
    assert!(wide.is_empty(), "more than {COLUMNS_MAX} columns:\n{wide}");
}

#[test]
fn every_source_file_says_what_it_is() {
    let silent: Vec<_> = sources()
        .into_iter()
        .filter(|file| !file.text.starts_with("//! "))
        .map(|file| file.path)
        .collect();
    assert!(silent.is_empty(), "no `//!` at the top of {silent:?}");
}

#[test]
fn a_module_stands_beside_its_folder() {
    let inside: Vec<_> =
        sources().into_iter().filter(|file| file.path.ends_with("/mod.rs")).collect();
    assert!(inside.is_empty(), "foo.rs beside foo/, no mod.rs: {}", inside[0].path);
}

#[test]
fn outside_formats_are_parsed_in_one_module_each() {
    let listed = block("outside-formats");
    let allowed: Vec<_> = listed.lines().map(|line| line.split(':').next().unwrap()).collect();
    let token = Regex::new(r"\bDeserialize\b").unwrap();
    let wrong = find(products(), |file, line| {
        token.is_match(line) && !allowed.iter().any(|module| file.is_in(module))
    });
    assert!(wrong.is_empty(), "not one of ARCHITECTURE.md's outside formats:\n{wrong}");
}

#[test]
fn metrics_are_named_by_the_meters_alone() {
    let wrong = find(products(), |file, line| line.contains("\"usher_") && !file.is_in("meters"));
    assert!(wrong.is_empty(), "metrics are named in src/meters only:\n{wrong}");
}

#[test]
fn tests_wait_for_events_and_not_for_the_clock() {
    let token = Regex::new(r"\b(thread|time)::sleep\b|\bsleep\(|#\[should_panic").unwrap();
    let trials = rust_files().into_iter().filter(|file| file.path != "tests/tidy.rs");
    let trials = trials.map(|file| File { text: file.trial(), path: file.path });
    let wrong = find(trials, |_, line| token.is_match(line));
    assert!(wrong.is_empty(), "a test that sleeps, or that is content with any panic:\n{wrong}");
}

#[test]
fn nothing_is_left_unfinished_in_the_text() {
    let token = Regex::new(&format!(r"\b({})\b", UNFINISHED.join("|"))).unwrap();
    let wrong = find(all_files(), |_, line| token.is_match(line));
    assert!(wrong.is_empty(), "do it or drop it:\n{wrong}");
}

/// The modules of the library that a text imports or names, in order.
fn imports(text: &str) -> Vec<String> {
    static COMMENT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"//.*").unwrap());
    static WORD: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^[a-z_0-9]+").unwrap());
    let text = COMMENT.replace_all(text, "");
    let mut found = Vec::new();
    for rest in text.split("crate::").skip(1) {
        let group = rest.strip_prefix('{');
        let items = group.map_or_else(|| vec![rest], outermost);
        let names = items.into_iter().filter_map(|item| WORD.find(item.trim_start()));
        found.extend(names.map(|name| name.as_str().to_owned()));
    }
    found
}

/// The items of a `use` group, from behind its opening brace to its closing one.
fn outermost(group: &str) -> Vec<&str> {
    let mut items = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, byte) in group.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 0 => {
                items.push(&group[start..at]);
                break;
            }
            b'}' => depth -= 1,
            b',' if depth == 0 => {
                items.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    items
}

/// Name and length of every function that has a body.
fn function_lengths<'a>(lines: &'a [&str]) -> impl Iterator<Item = (String, usize)> + 'a {
    static HEAD: LazyLock<Regex> = LazyLock::new(|| {
        let qualifiers = r#"(?:pub(?:\([^)]*\))? |const |async |unsafe |extern "C" )*"#;
        Regex::new(&format!(r"^( *){qualifiers}fn (\w+)")).unwrap()
    });
    lines.iter().enumerate().filter_map(|(first, line)| {
        let head = HEAD.captures(line)?;
        let rest = &lines[first..];
        let opening = rest.iter().position(|line| line.ends_with(['{', '}', ';']))?;
        let length = match rest[opening].chars().last()? {
            ';' => return None,
            '}' => opening + 1,
            _ => {
                let end = format!("{}}}", &head[1]);
                rest.iter().position(|line| *line == end)? + 1
            }
        };
        Some((head[2].to_owned(), length))
    })
}

/// What is longer than `max` and than its exception, and which exceptions can be lowered.
fn ratchet(lengths: &BTreeMap<String, usize>, max: usize, exceptions: &[(&str, usize)]) -> String {
    let mut wrong = String::new();
    for (name, length) in lengths {
        let exception = exceptions.iter().find(|(other, _)| other == name);
        let allowed = exception.map_or(max, |(_, allowed)| *allowed);
        if *length > allowed {
            writeln!(wrong, "{name}: {length} lines, {allowed} are the end").unwrap();
        }
    }
    for (name, allowed) in exceptions {
        let length = lengths.get(*name).copied().unwrap_or(0);
        if length <= max {
            writeln!(wrong, "{name}: needs no exception any more").unwrap();
        } else if length + RATCHET_SLACK < *allowed {
            writeln!(wrong, "{name}: lower its exception from {allowed} to {length}").unwrap();
        }
    }
    wrong
}

/// The lines that `is_wrong`, each with where it stands.
fn find(files: impl IntoIterator<Item = File>, is_wrong: impl Fn(&File, &str) -> bool) -> String {
    let mut found = String::new();
    for file in files {
        for (at, line) in file.text.lines().enumerate().filter(|(_, line)| is_wrong(&file, line)) {
            writeln!(found, "{}:{}: {}", file.path, at + 1, line.trim()).unwrap();
        }
    }
    found
}

/// A fenced block of `ARCHITECTURE.md`, by the word behind its fence.
fn block(word: &str) -> String {
    let text = fs::read_to_string(top().join("ARCHITECTURE.md")).unwrap();
    let opening = format!("```{word}\n");
    let (_, rest) = text.split_once(&opening).expect("ARCHITECTURE.md has the block");
    rest.split("```").next().unwrap().to_owned()
}

fn after_colon(line: &str) -> &str {
    line.split_once(':').expect("a floor is `FN name: modules`").1
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// The library and the binary.
fn sources() -> Vec<File> {
    rust_files().into_iter().filter(|file| file.path.starts_with("src/")).collect()
}

/// The library and the binary without their test modules.
fn products() -> impl Iterator<Item = File> {
    sources().into_iter().map(|file| File { text: file.product().to_owned(), path: file.path })
}

fn rust_files() -> Vec<File> {
    all_files().into_iter().filter(|file| file.path.ends_with(".rs")).collect()
}

/// Every text file of ours, sorted by path.
fn all_files() -> Vec<File> {
    let mut paths = Vec::new();
    walk(top(), &mut paths);
    paths.sort();
    let files = paths.into_iter().filter_map(|path| {
        let text = fs::read_to_string(&path).ok()?;
        let path = path.strip_prefix(top()).unwrap().to_str().unwrap().to_owned();
        Some(File { path, text })
    });
    files.collect()
}

fn walk(directory: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !matches!(name, "target" | ".git" | "node_modules") {
            walk(&path, paths);
        } else if path.is_file() {
            paths.push(path);
        }
    }
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
