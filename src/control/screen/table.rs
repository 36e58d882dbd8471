//! A table of text.

use super::words::cut;

/// At which side of its column a cell stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// Between two columns.
const GAP: &str = "  ";

/// The first column, where names stand, gets no wider.
const NAME_MAX: usize = 20;

/// The lines of a table under its heads, none longer than `width`.
pub(super) fn table<const N: usize>(
    columns: &[(&str, Align); N],
    rows: &[[String; N]],
    width: usize,
) -> Vec<String> {
    let heads = columns.map(|(head, _)| head.to_owned());
    let lines = || std::iter::once(&heads).chain(rows);
    let widths: [usize; N] = std::array::from_fn(|column| {
        let widest = lines().map(|line| line[column].chars().count()).max().unwrap_or(0);
        if column == 0 { widest.min(NAME_MAX) } else { widest }
    });
    let line = |cells: &[String; N]| {
        let cells = cells.iter().zip(columns).zip(widths).map(|((cell, (_, align)), width)| {
            let cell = cut(cell, width);
            match align {
                Align::Left => format!("{cell:<width$}"),
                Align::Right => format!("{cell:>width$}"),
            }
        });
        let line = cells.collect::<Vec<_>>().join(GAP);
        cut(line.trim_end(), width)
    };
    lines().map(line).collect()
}
