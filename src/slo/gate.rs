//! Whether to ship: what is left of the budgets, as a state with some inertia.
//!
//! ```text
//!   budget left   100 % ─── green ─── 50 % ─ yellow ─ 25 % ─ red ─ 10 % ─ frozen
//! ```
//!
//! A state gets worse at once, and better only when the budget has grown past the threshold by a
//! margin: a gate that opens and closes with every request is obeyed by nobody. What is not known
//! is never green.

/// How much may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Anything.
    Green,
    /// Deploys that begin with a few requests only: canaries.
    Yellow,
    /// Hotfixes.
    Red,
    /// Nothing.
    Frozen,
}

/// What is to be shipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Class {
    /// Any change.
    #[default]
    Normal,
    /// One that mends what spends the budget.
    Hotfix,
}

/// What somebody is told who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Ship.
    Go,
    /// Do not.
    Hold,
    /// It is not known.
    Unknown,
}

/// What has to be left of a budget for each state, as shares of one; descending.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// Below it, yellow.
    pub yellow: f64,
    /// Below it, red.
    pub red: f64,
    /// Below it, frozen.
    pub frozen: f64,
    /// By so much the budget must have grown past a threshold before the state gets better.
    pub margin: f64,
}

// === impl State ===

impl State {
    /// Every state, the best first.
    pub const ALL: [State; 4] = [State::Green, State::Yellow, State::Red, State::Frozen];

    /// The word used everywhere.
    pub const fn name(self) -> &'static str {
        match self {
            State::Green => "green",
            State::Yellow => "yellow",
            State::Red => "red",
            State::Frozen => "frozen",
        }
    }

    /// The state with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// The state after `before`, now that `left` of the budget is left.
    pub fn after(before: Option<Self>, left: f64, thresholds: &Thresholds) -> Self {
        let now = thresholds.state(left);
        match before {
            Some(before) if now < before => thresholds.state(left - thresholds.margin).min(before),
            Some(_) | None => now,
        }
    }

    /// What that means for something of `class`.
    pub const fn verdict(self, class: Class) -> Verdict {
        match (self, class) {
            (State::Green | State::Yellow, _) | (State::Red, Class::Hotfix) => Verdict::Go,
            (State::Red | State::Frozen, _) => Verdict::Hold,
        }
    }

    /// What may be done, for people.
    pub const fn meaning(self) -> &'static str {
        match self {
            State::Green => "ship",
            State::Yellow => "ship as a canary only",
            State::Red => "ship hotfixes only",
            State::Frozen => "ship nothing",
        }
    }
}

// === impl Verdict ===

impl Verdict {
    /// The word used everywhere.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Go => "go",
            Verdict::Hold => "hold",
            Verdict::Unknown => "unknown",
        }
    }

    /// The verdict with this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Verdict::Go, Verdict::Hold, Verdict::Unknown].into_iter().find(|it| it.name() == name)
    }
}

// === impl Thresholds ===

impl Thresholds {
    fn state(&self, left: f64) -> State {
        match left {
            left if left < self.frozen => State::Frozen,
            left if left < self.red => State::Red,
            left if left < self.yellow => State::Yellow,
            _ => State::Green,
        }
    }
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { yellow: 0.50, red: 0.25, frozen: 0.10, margin: 0.05 }
    }
}

/// The verdict over several audiences, which share a database: the worst. Something that holds
/// holds whatever is not known; else what is not known is not green.
pub fn worst(states: &[Option<State>], class: Class) -> Verdict {
    let holds = |state: &Option<State>| state.map(|it| it.verdict(class)) == Some(Verdict::Hold);
    if states.iter().any(holds) {
        Verdict::Hold
    } else if states.is_empty() || states.iter().any(Option::is_none) {
        Verdict::Unknown
    } else {
        Verdict::Go
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(lefts: &[f64]) -> Vec<State> {
        let thresholds = Thresholds::default();
        let mut state = None;
        lefts
            .iter()
            .map(|left| {
                let now = State::after(state, *left, &thresholds);
                state = Some(now);
                now
            })
            .collect()
    }

    #[test]
    fn it_gets_worse_at_once_and_better_past_a_margin() {
        use State::{Frozen, Green, Red, Yellow};
        assert_eq!(
            walk(&[1.0, 0.5, 0.499, 0.52, 0.549, 0.55]),
            [Green, Green, Yellow, Yellow, Yellow, Green]
        );
        assert_eq!(walk(&[0.09, 0.11, 0.149, 0.151, 0.31]), [Frozen, Frozen, Frozen, Red, Yellow]);
        assert_eq!(walk(&[0.05, 0.9]), [Frozen, Green], "it may leap");
        assert_eq!(walk(&[0.9, -4.0]), [Green, Frozen]);
        assert_eq!(walk(&[0.26, 0.24, 0.26, 0.31]), [Yellow, Red, Red, Yellow]);
    }

    #[test]
    fn what_may_be_shipped_follows_from_state_and_class() {
        let verdicts = |class| State::ALL.map(|state| state.verdict(class));
        use Verdict::{Go, Hold};
        assert_eq!(verdicts(Class::Normal), [Go, Go, Hold, Hold]);
        assert_eq!(verdicts(Class::Hotfix), [Go, Go, Go, Hold]);
    }

    #[test]
    fn the_worst_of_all_decides_and_what_is_not_known_is_never_green() {
        let (green, red) = (Some(State::Green), Some(State::Red));
        assert_eq!(worst(&[green, Some(State::Yellow)], Class::Normal), Verdict::Go);
        assert_eq!(worst(&[green, None], Class::Normal), Verdict::Unknown);
        assert_eq!(worst(&[red, None], Class::Normal), Verdict::Hold);
        assert_eq!(worst(&[red, None], Class::Hotfix), Verdict::Unknown);
        assert_eq!(worst(&[], Class::Normal), Verdict::Unknown);
    }
}
