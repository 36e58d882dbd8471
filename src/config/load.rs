//! From a file to a configuration, or to everything that is wrong with it.

use std::{
    fs,
    io::{self, Read as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    AddressSpec, Config,
    document::{
        self, Control, Document, Environment, Kind, Node, Off, Or, Read, Reader, Scalar, parse,
        replace,
    },
    include, lint,
    lower::{lower, place},
    problem::{Problem, Problems, Severity},
    source::{Source, Span},
};
use crate::{bind::Bind, stride::let_go};

/// The largest file, in bytes: room for 100,000 rules.
const FILE_BYTES_MAX: u64 = 32 << 20;

/// What a configuration may rest on.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// Where `${NAME}` comes from.
    pub environment: Environment,
    /// Whether a missing variable is passed over. No configuration comes out of one that has any.
    pub allow_missing_env: bool,
    /// Whether missing files and directories are passed over.
    pub allow_missing_files: bool,
    /// What the names of endpoints are found to stand for, where that is asked.
    pub ask_names: Option<AskNames>,
}

/// Asks for the names of a configuration's endpoints, and says of which of them something is odd,
/// with a hint.
pub type AskNames = fn(&Config) -> Vec<(AddressSpec, String, &'static str)>;

/// What came of reading a configuration.
#[derive(Debug)]
pub struct Examination {
    /// The configuration with its warnings, or everything that is wrong.
    pub result: Result<(Config, Vec<Problem>), Problems>,
    /// Every file that was read and every directory that was searched, whether or not it is there:
    /// when none of them changes, nothing else would come of reading it again.
    pub looked_at: Vec<PathBuf>,
}

/// Reads the configuration at `path`. Returns it with its warnings, or everything that is wrong.
pub fn load(path: &Path, options: &LoadOptions) -> Result<(Config, Vec<Problem>), Problems> {
    inspect(path, options).result
}

/// Reads the configuration at `path`, and says what its content hangs on.
pub fn inspect(path: &Path, options: &LoadOptions) -> Examination {
    match read_file(path) {
        Ok(text) => {
            let mut examined = examine(path_source(path, text), options);
            let mut looked_at = std::mem::take(&mut examined.looked_at);
            looked_at.push(path.to_owned());
            Examination { result: finish(examined), looked_at }
        }
        Err(problems) => Examination { result: Err(problems), looked_at: vec![path.to_owned()] },
    }
}

/// Reads a configuration out of `text`. `name` stands in messages; relative paths start at the
/// working directory.
pub fn parse_text(
    name: &str,
    text: &str,
    options: &LoadOptions,
) -> Result<(Config, Vec<Problem>), Problems> {
    let directory = PathBuf::new();
    finish(examine(Source { name: name.to_owned(), text: text.into(), directory }, options))
}

/// Everything that there is to say about the configuration at `path`.
pub fn check(path: &Path, options: &LoadOptions) -> Problems {
    match read_file(path) {
        Ok(text) => examine(path_source(path, text), options).problems,
        Err(problems) => problems,
    }
}

/// The control port that the file at `path` names, even when all else in it is wrong; `None` is
/// `off`.
pub fn control_only(path: &Path, options: &LoadOptions) -> Result<Option<Bind>, Problems> {
    let text = read_file(path)?;
    let mut reader = Reader::default();
    let file = reader.sources.add(path_source(path, text.clone()));
    let address = parse_source(&text, file, &mut reader).and_then(|mut root| {
        let Kind::Mapping(entries) = &mut root.kind else { return None };
        entries.retain(|entry| entry.key == "control");
        replace_variables(&mut root, options, &mut reader);
        let default = Bind::from(SocketAddr::from(([127, 0, 0, 1], 9900)));
        let Some(control) = root.value("control") else { return Some(Some(default)) };
        match <Or<Off, Control> as Read>::read(control, &mut reader)? {
            Or::Word(_) => Some(None),
            Or::Value(port) => Some(Some(place(&port.bind?, &reader))),
        }
    });
    match address {
        Some(address) => Ok(address),
        None => {
            if !reader.has_errors() {
                let span = Span { file, line: 1, column: 1, length: 1 };
                reader.error(span, "the control port cannot be read here");
            }
            Err(problems(reader))
        }
    }
}

struct Examined {
    config: Option<Config>,
    problems: Problems,
    looked_at: Vec<PathBuf>,
}

fn finish(examined: Examined) -> Result<(Config, Vec<Problem>), Problems> {
    match examined.config {
        Some(config) => Ok((config, examined.problems.into_vec())),
        None => Err(examined.problems),
    }
}

fn examine(source: Source, options: &LoadOptions) -> Examined {
    let mut reader = Reader::new(!options.allow_missing_files);
    reader.variables = (!options.allow_missing_env).then(|| options.environment.clone());
    let text = source.text.clone();
    let file = reader.sources.add(source);
    let config = read_all(&text, file, options, &mut reader);
    let looked_at = std::mem::take(&mut reader.looked_at);
    Examined { config, problems: problems(reader), looked_at }
}

fn read_all(text: &str, file: u32, options: &LoadOptions, reader: &mut Reader) -> Option<Config> {
    let mut root = parse_source(text, file, reader)?;
    let mut all_known = replace_variables(&mut root, options, reader);
    let mut included = Vec::new();
    for (path, span) in include::files(&root, reader) {
        reader.looked_at.push(path.clone());
        let text = match read_file(&path) {
            Ok(text) => text,
            Err(problems) => {
                for problem in problems.as_slice() {
                    reader.error(span, format!("{} {}", problem.file, problem.message));
                }
                continue;
            }
        };
        let file = reader.sources.add(path_source(&path, text.clone()));
        if let Some(mut node) = parse_source(&text, file, reader) {
            all_known &= replace_variables(&mut node, options, reader);
            included.push(node);
        }
    }
    let root = include::merge(root, included, reader);
    let document = Document::read(&root, reader)?;
    let lowered = lower(&document, &root, reader);
    lint::lint(&lowered, reader);
    if let Some(ask_names) = options.ask_names.filter(|_| all_known && !reader.has_errors()) {
        lint::names(&lowered, &ask_names(&lowered.config), reader);
    }
    let config = (all_known && !reader.has_errors()).then(|| lowered.into_config());
    let_go_of(document, root);
    config
}

/// Lets go in strides of what has been read and is not needed any more.
fn let_go_of(document: Document, root: Node) {
    let audiences = document.audiences.into_iter().flat_map(|at| at.value.items);
    let rules = audiences.filter_map(|audience| audience.value.r#match);
    rules.for_each(|rules| let_go(rules.value.items));
    root.let_go();
}

fn parse_source(text: &str, file: u32, reader: &mut Reader) -> Option<Node> {
    let start = Span { file, line: 1, column: 1, length: 1 };
    match parse(text, file) {
        Ok(Node { kind: Kind::Nothing, .. }) => {
            let hint = "`usher schema --example` writes one to begin with";
            reader.error_with(start, "there is nothing in this file", hint);
            None
        }
        Ok(root) => Some(root),
        Err(document::Broken { span, message }) => {
            let span = if span.line == 0 { start } else { span };
            reader.error(span, message);
            None
        }
    }
}

/// Replaces all variables; false when one is missing.
fn replace_variables(root: &mut Node, options: &LoadOptions, reader: &mut Reader) -> bool {
    let mut all_known = true;
    root.for_each_scalar(&mut |span: Span, scalar: &mut Scalar| match replace(
        &scalar.text,
        &options.environment,
    ) {
        Ok(None) => {}
        Ok(Some(replaced)) => {
            scalar.known = replaced.missing.is_empty();
            all_known &= scalar.known;
            if !options.allow_missing_env {
                for name in &replaced.missing {
                    let message = format!("the environment variable `{name}` is not set");
                    let hint = format!("set it, or write `${{{name}:-DEFAULT}}`");
                    reader.error_with(span, message, hint);
                }
            }
            scalar.text = replaced.text;
            scalar.shown = Some(replaced.shown);
        }
        Err(error) => {
            scalar.known = false;
            all_known = false;
            let hint = "write `${NAME}` or `${NAME:-default}`, and `$$` for a `$`";
            reader.error_with(span, error.to_string(), hint);
        }
    });
    all_known
}

fn problems(reader: Reader) -> Problems {
    let Reader { sources, mut findings, .. } = reader;
    findings.sort_by_key(|finding| (finding.span, finding.severity));
    let lines = sources.lines();
    let excerpt = |span: Span| {
        let index = span.line.checked_sub(1);
        let line = index.and_then(|index| lines[span.file as usize].get(index as usize));
        line.map_or_else(String::new, |line| (*line).to_owned())
    };
    let problem = |finding: document::Finding| Problem {
        severity: finding.severity,
        file: sources.of(finding.span).name.clone(),
        line: finding.span.line as usize,
        column: finding.span.column as usize,
        length: finding.span.length as usize,
        message: finding.message,
        hint: finding.hint,
        excerpt: excerpt(finding.span),
    };
    Problems::new(findings.into_iter().map(problem).collect())
}

fn path_source(path: &Path, text: Arc<str>) -> Source {
    let directory = path.parent().map(Path::to_owned).unwrap_or_default();
    Source { name: path.display().to_string(), text, directory }
}

fn read_file(path: &Path) -> Result<Arc<str>, Problems> {
    let name = path.display().to_string();
    let refused = |message: String, hint: Option<&str>| {
        Problems::new(vec![Problem::of_file(&name, message, hint.map(str::to_owned))])
    };
    let unreadable = |error: io::Error| {
        let hint = "name a file with `--config`; `usher schema --example` writes one";
        let hint = (error.kind() == io::ErrorKind::NotFound).then_some(hint);
        refused(format!("cannot be read: {error}"), hint)
    };
    let file = fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > FILE_BYTES_MAX {
        return Err(refused(format!("is larger than {} MiB", FILE_BYTES_MAX >> 20), None));
    }
    String::from_utf8(bytes).map(Arc::from).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        refused(format!("is not UTF-8 from byte {at} on"), None)
    })
}

// The severity is part of the order: at one place, errors come before warnings.
const _: () = assert!((Severity::Error as u8) < (Severity::Warning as u8));
