//! Whom usher serves: an overview, and a row for each audience with what was promised to it.

use super::{
    board::{Board, Look, Panel, Variable},
    series::{Source, max, sum},
};
use crate::meters::names;

/// Budgets, as `usher gate` takes them where nothing else is configured.
const BUDGET: &[(Option<f64>, &str)] =
    &[(None, "dark-red"), (Some(0.10), "red"), (Some(0.25), "yellow"), (Some(0.50), "green")];

/// Burn rates that last, make a ticket, and wake somebody.
const BURN: &[(Option<f64>, &str)] =
    &[(None, "green"), (Some(1.0), "yellow"), (Some(6.0), "orange"), (Some(14.4), "red")];

/// The matcher for what was chosen.
const CHOSEN: &str = "audience=~\"$audience\"";

pub(super) fn board(from: Source<'_>) -> Board {
    let mut board = Board::new(
        "usher: audiences",
        "usher-audiences",
        "Whom usher serves and how, and what is left of what was promised. Budgets, burn rates and \
         alerts come from the rules that `usher rules` writes.",
    );
    board.variable(Variable {
        name: "audience",
        query: format!("label_values({}, audience)", from.of(&names::REQUESTS_IN_FLIGHT, "")),
        without: "none",
    });
    let generation = from.of(&names::CONFIG_GENERATION, "");
    board.mark("configuration changed", format!("max(changes({generation}[1m])) > 0"));
    board.row("All of them", None);
    standing(from).iter().for_each(|panel| board.panel(panel));
    overview(from).iter().for_each(|panel| board.panel(panel));
    board.row("$audience", Some("audience"));
    served(from).iter().for_each(|panel| board.panel(panel));
    promised(from).iter().for_each(|panel| board.panel(panel));
    waited(from).iter().for_each(|panel| board.panel(panel));
    board
}

/// The share of events that were as promised.
fn good(from: Source<'_>) -> String {
    let events = &names::SLO_EVENTS;
    let good = from.rate("audience, slo", events, &format!("{CHOSEN},result=\"good\""));
    let all = from.rate("audience, slo", events, CHOSEN);
    format!("{good} / ({all} > 0)")
}

fn objective(from: Source<'_>) -> String {
    max("audience, slo", &from.of(&names::SLO_OBJECTIVE, CHOSEN))
}

fn standing(from: Source<'_>) -> [Panel; 3] {
    let alerts = "ALERTS{alertname=~\"Usher.*\",alertstate=\"firing\",audience=~\"$audience|\"}";
    [
        Panel::new(
            Look::Bars,
            "Budget left",
            "percentunit",
            "What is left of each error budget over its whole window, of all replicas \
             together. At 0 as much went wrong as was allowed. Colours are the gate's.",
            vec![(
                format!("usher:slo_budget_left:ratio{{{CHOSEN}}}"),
                "{{audience}} {{slo}}".into(),
            )],
        )
        .marked(BUDGET),
        Panel::new(
            Look::Number,
            "Used up in",
            "s",
            "When a budget is gone if it goes on as in the last hour, as the replica sees it \
             that is worst off. Empty when none is.",
            vec![(
                format!("min by (audience, slo) ({})", from.of(&names::SLO_EXHAUSTION, CHOSEN)),
                "{{audience}} {{slo}}".into(),
            )],
        )
        .marked(&[(None, "red"), (Some(86_400.0), "yellow"), (Some(259_200.0), "green")]),
        Panel::new(
            Look::Table,
            "Alerts",
            "none",
            "What fires now, about these audiences or about usher itself. docs/slo.md has a \
             runbook for each.",
            vec![(alerts.into(), String::new())],
        ),
    ]
}

fn overview(from: Source<'_>) -> [Panel; 3] {
    [
        Panel::new(
            Look::Lines,
            "Requests",
            "reqps",
            "Requests a second that have ended, however they did.",
            vec![(from.rate("audience", &names::REQUESTS, CHOSEN), "{{audience}}".into())],
        ),
        Panel::new(
            Look::Lines,
            "First byte, p99",
            "s",
            "One answer of a hundred begins later than this. The monolith's answers only, \
             queue and all attempts included.",
            vec![(
                from.quantile(0.99, "audience", &names::FIRST_BYTE, CHOSEN),
                "{{audience}}".into(),
            )],
        ),
        Panel::new(
            Look::Lines,
            "Good events",
            "percentunit",
            "The share of requests that were as promised.",
            vec![(good(from), "{{audience}} {{slo}}".into())],
        ),
    ]
}

fn served(from: Source<'_>) -> [Panel; 3] {
    [
        Panel::new(
            Look::Stacked,
            "Requests by outcome",
            "reqps",
            "served: the monolith's answer went out whole, whatever its status. refused: \
             usher answered by policy. failed: the monolith or usher broke. abandoned: the \
             client left.",
            vec![(from.rate("outcome", &names::REQUESTS, CHOSEN), "{{outcome}}".into())],
        ),
        Panel::new(
            Look::Lines,
            "First byte",
            "s",
            "Request read whole to the head of the monolith's answer, queue and all attempts \
             included: what a latency objective is about.",
            from.percentiles(&names::FIRST_BYTE, CHOSEN).into(),
        ),
        Panel::new(
            Look::Stacked,
            "Faults",
            "reqps",
            "Requests a second that the monolith did not serve as asked, by reason. \
             docs/faults.md says what to do about each.",
            vec![(
                format!("{} > 0", from.rate("fault, blame", &names::FAULTS, CHOSEN)),
                "{{fault}} ({{blame}})".into(),
            )],
        ),
    ]
}

fn promised(from: Source<'_>) -> [Panel; 3] {
    let burn = |window: &str| {
        let series = format!("usher:slo_burn_rate:ratio{window}{{{CHOSEN}}}");
        (series, format!("{{{{slo}}}} {window}"))
    };
    [
        Panel::new(
            Look::Lines,
            "Good events and what was promised",
            "percentunit",
            "The share of requests that were as promised, by exact comparison and not from \
             buckets; gaps are quiet times.",
            vec![(good(from), "{{slo}}".into()), (objective(from), "{{slo}}: promised".into())],
        ),
        Panel::new(
            Look::Lines,
            "Budget left",
            "percentunit",
            "Over the whole window of each promise. It falls with bad events and grows as \
             old ones leave the window.",
            vec![(format!("usher:slo_budget_left:ratio{{{CHOSEN}}}"), "{{slo}}".into())],
        )
        .marked(BUDGET),
        Panel::new(
            Look::Lines,
            "Burn rate",
            "none",
            "At 1 the budget lasts exactly its window; at 14.4 two per cent of 30 days are \
             gone in an hour.",
            ["5m", "1h", "6h", "3d"].map(burn).into(),
        )
        .marked(BURN),
    ]
}

fn waited(from: Source<'_>) -> [Panel; 3] {
    // The pools that serve it: those for which its requests have ever waited, 0 seconds included.
    let samples = from.named(&format!("{}_count", names::QUEUE_WAIT.name), CHOSEN);
    let its = |what: String| format!("{what} and on (pool) group by (pool) ({samples})");
    let slots = |family| its(sum("pool", &from.of(family, "")));
    [
        Panel::new(
            Look::Lines,
            "Wait for a slot",
            "s",
            "How long requests waited in their pool's queue, those included that were \
             refused there.",
            from.percentiles(&names::QUEUE_WAIT, CHOSEN).into(),
        ),
        Panel::new(
            Look::Lines,
            "Slots of its pools",
            "short",
            "Puma threads in use, held for requests that have gone, and waited for, beside \
             those there are. Other audiences may use the same pool.",
            vec![
                (slots(&names::POOL_IN_FLIGHT), "{{pool}}: in flight".into()),
                (slots(&names::POOL_ORPHANS), "{{pool}}: orphaned".into()),
                (slots(&names::POOL_QUEUE_LENGTH), "{{pool}}: waiting".into()),
                (
                    its(max("pool", &from.of(&names::POOL_CAPACITY, ""))),
                    "{{pool}}: capacity".into(),
                ),
            ],
        ),
        Panel::new(
            Look::Lines,
            "In progress",
            "short",
            "Requests that have begun and not ended, and WebSockets that are open.",
            vec![
                (sum("", &from.of(&names::REQUESTS_IN_FLIGHT, CHOSEN)), "requests".into()),
                (sum("", &from.of(&names::TUNNELS, CHOSEN)), "WebSockets".into()),
            ],
        ),
    ]
}
