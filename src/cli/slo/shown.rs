//! How promises stand, as a table with bars.

use std::fmt::Write as _;

use crate::control::{SloView, StandingView};

/// How long a bar is.
const BAR: usize = 10;

/// The most causes that are named of one promise.
const CAUSES_MAX: usize = 3;

/// `view` for people.
pub(super) fn text(view: &SloView) -> String {
    let mut text = String::new();
    if view.promises.is_empty() {
        return "no objectives are configured: docs/slo.md says how to choose them\n".to_owned();
    }
    let heads =
        ["AUDIENCE", "PROMISE", "TARGET", "BUDGET LEFT", "5M", "1H", "6H", "3D", "BAD", "OF"];
    let rows: Vec<[String; 10]> =
        std::iter::once(heads.map(str::to_owned)).chain(view.promises.iter().map(row)).collect();
    let widths: [usize; 10] = std::array::from_fn(|column| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)
    });
    for row in &rows {
        let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
            if column < 4 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    let notes: Vec<String> = view.promises.iter().flat_map(notes).collect();
    for note in std::iter::once(String::new()).chain(notes) {
        let _ = writeln!(text, "{note}");
    }
    if !view.note.is_empty() {
        let _ = writeln!(text, "{}", view.note);
    }
    text
}

fn row(it: &StandingView) -> [String; 10] {
    let burn = |window| it.burn(window).map_or_else(|| "-".to_owned(), |burn| format!("{burn:.1}"));
    [
        it.audience.clone(),
        it.slo.clone(),
        percent(it.target),
        it.budget_left.map_or_else(
            || "no events".to_owned(),
            |left| format!("{} {:>6.1}%", bar(left), left * 100.0),
        ),
        burn("5m"),
        burn("1h"),
        burn("6h"),
        burn("3d"),
        it.bad.to_string(),
        format!("{} in {}", it.good + it.bad, it.window),
    ]
}

fn notes(it: &StandingView) -> Vec<String> {
    let name = format!("{} {}", it.audience, it.slo);
    let mut notes = Vec::new();
    match it.exhausted_in_seconds {
        Some(seconds) if seconds <= 0.0 => notes.push(format!("{name}: the budget is used up")),
        Some(seconds) => notes.push(format!(
            "{name}: the budget is used up in {} if it goes on as in the last hour",
            about(seconds)
        )),
        None => {}
    }
    if it.bad > 0 {
        let causes: Vec<String> = it
            .causes
            .iter()
            .take(CAUSES_MAX)
            .map(|cause| format!("{} {}", cause.count, cause.cause))
            .collect();
        let worst = it.worst_hour.as_ref().map_or(String::new(), |worst| {
            format!("; {} of {} bad in the hour from {}", worst.bad, it.bad, worst.hour)
        });
        notes.push(format!("{name}: {}{worst}", causes.join(", ")));
    }
    notes
}

/// Ten steps; what is left of one is shown as one, so that only what is empty looks empty.
fn bar(left: f64) -> String {
    let full = (left.clamp(0.0, 1.0) * BAR as f64).ceil() as usize;
    format!("{}{}", "█".repeat(full), "░".repeat(BAR - full))
}

/// A target has more digits than one would round to.
fn percent(ratio: f64) -> String {
    let text = format!("{:.4}", ratio * 100.0);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

fn about(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7_200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.0} h", s / 3_600.0),
        s => format!("{:.0} days", s / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{CauseView, HourView, WindowView};

    fn window(name: &str, burn: f64) -> WindowView {
        WindowView { window: name.to_owned(), burn: Some(burn), ..WindowView::default() }
    }

    #[test]
    fn a_promise_is_a_line_with_a_bar_and_what_its_budget_went_on() {
        let driver = StandingView {
            audience: "driver".into(),
            slo: "latency-300ms".into(),
            target: 0.9995,
            window: "28d".into(),
            good: 99_990,
            bad: 10,
            budget_left: Some(0.8),
            exhausted_in_seconds: Some(10_800.0),
            windows: vec![window("5m", 0.0), window("1h", 14.42), window("3d", 0.2)],
            causes: vec![CauseView { cause: "late".into(), count: 10 }],
            worst_hour: Some(HourView { hour: "2026-11-24T14:00:00Z".into(), bad: 9 }),
            ..StandingView::default()
        };
        let admin = StandingView {
            audience: "admin".into(),
            slo: "availability".into(),
            target: 0.995,
            window: "7d".into(),
            ..StandingView::default()
        };
        let view = SloView {
            note: "Counted by this replica alone.".into(),
            promises: vec![driver, admin],
            ..SloView::default()
        };
        let expected = "\
AUDIENCE  PROMISE        TARGET  BUDGET LEFT          5M    1H  6H   3D  BAD             OF
driver    latency-300ms  99.95%  ████████░░   80.0%  0.0  14.4   -  0.2   10  100000 in 28d
admin     availability   99.5%   no events             -     -   -    -    0        0 in 7d

driver latency-300ms: the budget is used up in 3 h if it goes on as in the last hour
driver latency-300ms: 10 late; 9 of 10 bad in the hour from 2026-11-24T14:00:00Z
Counted by this replica alone.
";
        assert_eq!(text(&view), expected, "\n{}", text(&view));
    }

    #[test]
    fn a_bar_is_empty_only_when_nothing_is_left() {
        let bars = [1.2, 1.0, 0.001, 0.0, -3.0].map(bar);
        let full = ["██████████", "██████████", "█░░░░░░░░░", "░░░░░░░░░░", "░░░░░░░░░░"];
        assert_eq!(bars, full.map(str::to_owned));
    }

    #[test]
    fn without_objectives_it_says_so() {
        assert!(text(&SloView::default()).starts_with("no objectives"));
    }
}
