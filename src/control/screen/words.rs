//! Quantities as short words.

const DASH: &str = "-";

/// Requests per second.
pub(super) fn rate(rate: f64) -> String {
    if rate < 100.0 { format!("{rate:.1}") } else { format!("{rate:.0}") }
}

/// A time with three digits that matter.
pub(crate) fn milliseconds(ms: Option<f64>) -> String {
    match ms {
        None => DASH.to_owned(),
        Some(ms) if ms < 9.95 => with_unit(ms, 1, "ms"),
        Some(ms) if ms < 999.5 => with_unit(ms, 0, "ms"),
        Some(ms) if ms < 9_995.0 => with_unit(ms / 1e3, 2, "s"),
        Some(ms) => with_unit(ms / 1e3, 1, "s"),
    }
}

/// A measured share, rounded down: only what is whole is 100 %.
pub(crate) fn share(share: Option<f64>) -> String {
    let Some(share) = share else { return DASH.to_owned() };
    // The small amount undoes what binary fractions lose.
    let hundredths = (share * 1e4 + 1e-6).floor();
    // Rounded down, a little would be nothing.
    if share > 0.0 && hundredths < 1.0 {
        return "<0.01%".to_owned();
    }
    format!("{:.2}%", hundredths / 1e2)
}

/// A share that was promised, as short as it was written.
pub(super) fn target(share: f64) -> String {
    with_unit(share * 1e2, 4, "%")
}

/// The two largest units of a time.
pub(crate) fn age(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {}m", minutes % 60),
        (_, _, _) => format!("{days}d {}h", hours % 24),
    }
}

/// As much of `text` as `width` characters hold; a mark where something is left out. Control
/// characters, which could move a terminal's cursor, are replaced.
pub(crate) fn cut(text: &str, width: usize) -> String {
    let plain = |character: char| if character.is_control() { '?' } else { character };
    if text.chars().count() <= width {
        return text.chars().map(plain).collect();
    }
    let kept = text.chars().take(width.saturating_sub(1)).map(plain);
    kept.chain(std::iter::once('…')).collect()
}

/// Without zeros behind the point.
fn with_unit(value: f64, digits: usize, unit: &str) -> String {
    let text = format!("{value:.digits$}");
    let short = if digits > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{short}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short_and_in_the_unit_that_fits() {
        let told = [0.0, 0.42, 9.94, 9.96, 480.4, 999.6, 1_250.0, 15_000.0, 120_000.0]
            .map(|ms| milliseconds(Some(ms)));
        assert_eq!(told, ["0ms", "0.4ms", "9.9ms", "10ms", "480ms", "1s", "1.25s", "15s", "120s"]);
        assert_eq!(milliseconds(None), "-");
    }

    #[test]
    fn only_the_whole_is_a_hundred_percent() {
        let told = [1.0, 0.999_99, 0.999, 0.5, 0.000_01, 0.0].map(|it| share(Some(it)));
        assert_eq!(told, ["100.00%", "99.99%", "99.90%", "50.00%", "<0.01%", "0.00%"]);
        assert_eq!([0.999, 0.99, 0.9995, 1.0].map(target), ["99.9%", "99%", "99.95%", "100%"]);
    }

    #[test]
    fn an_age_has_two_units() {
        let told = [5, 65, 3_700, 90_000, 40 * 86_400].map(age);
        assert_eq!(told, ["5s", "1m 5s", "1h 1m", "1d 1h", "40d 0h"]);
    }

    #[test]
    fn a_text_is_cut_by_characters_and_moves_no_cursor() {
        assert_eq!(cut("Käsekuchen", 6), "Käsek…");
        assert_eq!(cut("Käse", 4), "Käse");
        assert_eq!(cut("a\u{1b}[2Jb", 10), "a?[2Jb");
    }
}
