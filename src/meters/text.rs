//! Prometheus' text format, version 0.0.4.

use std::fmt::{Display, Write};

use super::{histogram::Distribution, names::Family};

/// A text under construction. Samples follow the head of their family.
pub(super) struct Text(String);

/// The labels of a sample, as they stand between the braces.
#[derive(Clone)]
pub(super) struct Labels(String);

// === impl Text ===

impl Text {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self(String::with_capacity(bytes))
    }

    /// Begins the samples of `family`.
    pub(super) fn family(&mut self, family: &Family) {
        let Family { name, help, kind, .. } = family;
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {}", kind.name()));
    }

    /// One sample of `family`; `values` are those of its labels, in their order.
    pub(super) fn sample(&mut self, family: &Family, values: &[&str], value: impl Display) {
        debug_assert_eq!(family.labels.len(), values.len(), "{}", family.name);
        let labels = Labels::new(family.labels, values);
        self.line(format_args!("{}{} {value}", family.name, labels.braced()));
    }

    /// All samples of one histogram.
    pub(super) fn histogram(&mut self, family: &Family, values: &[&str], read: &Distribution) {
        let name = family.name;
        let Labels(labels) = Labels::new(family.labels, values);
        for (le, count) in read.cumulative() {
            self.line(format_args!("{name}_bucket{{{labels},le=\"{le}\"}} {count}"));
        }
        let count = read.count();
        self.line(format_args!("{name}_bucket{{{labels},le=\"+Inf\"}} {count}"));
        self.line(format_args!("{name}_sum{{{labels}}} {}", read.sum_seconds()));
        self.line(format_args!("{name}_count{{{labels}}} {count}"));
    }

    /// Puts lines that are complete at the end.
    pub(super) fn finish(self, lines: &str) -> String {
        self.0 + lines
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // A String takes whatever is written to it.
        let _ = self.0.write_fmt(line);
        self.0.push('\n');
    }
}

// === impl Labels ===

impl Labels {
    fn new(names: &[&str], values: &[&str]) -> Self {
        let mut text = String::with_capacity(96);
        for (name, value) in names.iter().zip(values) {
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(name);
            text.push_str("=\"");
            escape(value, &mut text);
            text.push('"');
        }
        Self(text)
    }

    fn braced(&self) -> String {
        if self.0.is_empty() { String::new() } else { format!("{{{}}}", self.0) }
    }
}

// === free functions ===

fn escape(value: &str, into: &mut String) {
    for character in value.chars() {
        match character {
            '\\' => into.push_str("\\\\"),
            '"' => into.push_str("\\\""),
            '\n' => into.push_str("\\n"),
            other => into.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::names, *};

    #[test]
    fn a_sample_stands_under_its_family_with_escaped_labels() {
        let mut text = Text::with_capacity(0);
        text.family(&names::CONNECTIONS);
        text.sample(&names::CONNECTIONS, &["a\"b\\c\nd"], 3);
        text.family(&names::CONFIG_GENERATION);
        text.sample(&names::CONFIG_GENERATION, &[], 7);
        assert_eq!(
            text.finish("end\n"),
            "# HELP usher_connections Client connections that are open.\n\
             # TYPE usher_connections gauge\n\
             usher_connections{listener=\"a\\\"b\\\\c\\nd\"} 3\n\
             # HELP usher_config_generation How many configurations this process has served by; \
             the first is 1.\n\
             # TYPE usher_config_generation gauge\n\
             usher_config_generation 7\n\
             end\n"
        );
    }
}
