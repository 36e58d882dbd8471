//! Dashboards for Grafana, as the JSON that it imports.
//!
//! They are the same for every configuration: audiences, pools and replicas are variables that
//! Grafana fills from the metrics. What they show of budgets comes from the series that
//! [`crate::slo::rules`] records; everything else comes from usher's own metrics. Pure.

mod audiences;
mod board;
mod itself;
mod pools;
mod series;

use serde_json::Value;

use series::Source;

/// What a dashboard is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Whom usher serves, and what was promised to them.
    Audiences,
    /// Where requests go, and whether there is room.
    Pools,
    /// usher itself.
    Usher,
}

/// What can be chosen.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Matchers for every series of usher's, such as `job="usher"`; empty: all there are.
    pub selector: String,
}

// === impl Subject ===

impl Subject {
    /// Every dashboard there is.
    pub const ALL: [Subject; 3] = [Subject::Audiences, Subject::Pools, Subject::Usher];

    /// The word used in names of files and commands.
    pub const fn name(self) -> &'static str {
        match self {
            Subject::Audiences => "audiences",
            Subject::Pools => "pools",
            Subject::Usher => "usher",
        }
    }

    /// The name of its file.
    pub fn file(self) -> String {
        match self {
            Subject::Audiences | Subject::Pools => format!("usher-{}.json", self.name()),
            Subject::Usher => format!("{}.json", self.name()),
        }
    }

    /// The dashboard, as Grafana imports it.
    pub fn dashboard(self, options: &Options) -> Value {
        let from = Source::new(&options.selector);
        let board = match self {
            Subject::Audiences => audiences::board(from),
            Subject::Pools => pools::board(from),
            Subject::Usher => itself::board(from),
        };
        board.into_json()
    }
}

#[cfg(test)]
mod tests;
