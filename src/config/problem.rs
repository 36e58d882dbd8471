//! What is wrong with a configuration, for people and for programs.

use std::fmt;

use serde::Serialize;

/// The longest part of a line that an excerpt shows, in characters.
const EXCERPT_CHARACTERS_MAX: usize = 100;

/// The longest message or hint, in characters.
const MESSAGE_CHARACTERS_MAX: usize = 1_000;

/// Whether a problem stops usher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It does.
    Error,
    /// It does not.
    Warning,
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Whether it stops usher.
    pub severity: Severity,
    /// The file, as it was named.
    pub file: String,
    /// From 1; 0 when it is about the file as a whole.
    pub line: usize,
    /// From 1, in characters; 0 when it is about the file as a whole.
    pub column: usize,
    /// How many characters it is about.
    pub length: usize,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The line that it is in.
    pub excerpt: String,
}

/// Everything that is wrong, in the order of the files.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct Problems(Vec<Problem>);

#[derive(Serialize)]
struct View<'a> {
    problems: &'a [Problem],
    errors: usize,
    warnings: usize,
}

// === impl Severity ===

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        })
    }
}

// === impl Problem ===

impl Problem {
    /// An error about a file as a whole.
    pub fn of_file(file: &str, message: String, hint: Option<String>) -> Self {
        Self {
            severity: Severity::Error,
            file: file.to_owned(),
            line: 0,
            column: 0,
            length: 0,
            message,
            hint,
            excerpt: String::new(),
        }
    }

    /// Its first line: where, how bad and what.
    pub fn headline(&self) -> String {
        let Self { file, line, column, severity, message, .. } = self;
        let message = one_line(message);
        match line {
            0 => format!("{file}: {severity}: {message}"),
            _ => format!("{file}:{line}:{column}: {severity}: {message}"),
        }
    }

    /// The part of the line around the place, and how far the place is into it.
    fn window(&self) -> (String, usize) {
        let at = self.column.saturating_sub(1);
        let start = if at < EXCERPT_CHARACTERS_MAX * 3 / 4 { 0 } else { at - 20 };
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        let mut rest = self.excerpt.chars().skip(start);
        let mut part: String = rest.by_ref().take(EXCERPT_CHARACTERS_MAX).map(plain).collect();
        if start > 0 {
            part = part.chars().skip(1).collect();
            part.insert(0, '…');
        }
        part.truncate(part.trim_end().len());
        if rest.next().is_some() {
            part.push('…');
        }
        (part, at - start)
    }
}

impl fmt::Display for Problem {
    /// Several lines without a line break at their end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.headline())?;
        let line = self.line;
        if line != 0 {
            let (excerpt, indent) = self.window();
            let room = excerpt.chars().count().saturating_sub(indent).max(1);
            let carets = "^".repeat(self.length.clamp(1, room));
            write!(f, "\n{line:>6} | {excerpt}\n       | {:indent$}{carets}", "")?;
        }
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {}", one_line(hint)),
            None => Ok(()),
        }
    }
}

// === impl Problems ===

impl Problems {
    /// These, in this order.
    pub fn new(problems: Vec<Problem>) -> Self {
        Self(problems)
    }

    /// All of them.
    pub fn as_slice(&self) -> &[Problem] {
        &self.0
    }

    /// All of them, to keep.
    pub fn into_vec(self) -> Vec<Problem> {
        self.0
    }

    /// How many are errors.
    pub fn errors(&self) -> usize {
        self.0.iter().filter(|problem| problem.severity == Severity::Error).count()
    }

    /// How many are warnings.
    pub fn warnings(&self) -> usize {
        self.0.len() - self.errors()
    }

    /// One JSON object: `problems`, `errors` and `warnings`.
    pub fn to_json(&self) -> serde_json::Value {
        let view = View { problems: &self.0, errors: self.errors(), warnings: self.warnings() };
        serde_json::to_value(view).expect("a view of texts and numbers is always JSON")
    }
}

impl fmt::Display for Problems {
    /// All of them; the last line says how many errors and warnings there are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.0 {
            writeln!(f, "{problem}")?;
        }
        let (errors, warnings) = (self.errors(), self.warnings());
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        write!(f, "{errors} error{}, {warnings} warning{}", plural(errors), plural(warnings))
    }
}

/// What a file says ends up on a terminal: nothing in it may move the cursor or fill the screen.
fn one_line(text: &str) -> String {
    let mut rest = text.chars();
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let mut line: String = rest.by_ref().take(MESSAGE_CHARACTERS_MAX).map(plain).collect();
    if rest.next().is_some() {
        line.push('…');
    }
    line
}
