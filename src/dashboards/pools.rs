//! Where requests go: an overview, and a row for each pool. What autoscaling looks at is here.

use super::{
    board::{Board, Look, Panel, Variable},
    series::{Source, max, sum},
};
use crate::meters::names;

/// How full a pool is; from 1 on somebody waits.
const FULL: &[(Option<f64>, &str)] = &[(None, "green"), (Some(0.8), "yellow"), (Some(1.0), "red")];

/// The matcher for what was chosen.
const CHOSEN: &str = "pool=~\"$pool\"";

pub(super) fn board(from: Source<'_>) -> Board {
    let mut board = Board::new(
        "usher: pools",
        "usher-pools",
        "Where requests go, whether there is room for them, and how the monolith fares there.",
    );
    board.variable(Variable {
        name: "pool",
        query: format!("label_values({}, pool)", from.of(&names::POOL_CAPACITY, "")),
        without: "none",
    });
    board.row("All of them", None);
    overview(from).iter().for_each(|panel| board.panel(panel));
    board.row("$pool", Some("pool"));
    slots(from).iter().for_each(|panel| board.panel(panel));
    endpoints(from).iter().for_each(|panel| board.panel(panel));
    trouble(from).iter().for_each(|panel| board.panel(panel));
    board
}

/// Slots that could be used, as a share of those there are.
fn full(from: Source<'_>) -> String {
    let demand = sum("pool", &from.of(&names::POOL_DEMAND, CHOSEN));
    let capacity = max("pool", &from.of(&names::POOL_CAPACITY, CHOSEN));
    format!("{demand} / ({capacity} > 0)")
}

fn overview(from: Source<'_>) -> [Panel; 3] {
    let state = |state: &str| format!("{CHOSEN},state=\"{state}\"");
    let up = max("pool", &from.of(&names::POOL_ENDPOINTS, &state("up")));
    let connections = |matchers: &str| from.of(&names::DATABASE_CONNECTIONS, matchers);
    [
        Panel::new(
            Look::Lines,
            "How full",
            "percentunit",
            "Slots that could be used (in flight, orphaned and waited for) as a share of \
             those there are. Above 1 requests wait; an autoscaler that keeps it at 0.7 has \
             room for a burst.",
            vec![(full(from), "{{pool}}".into())],
        )
        .marked(FULL),
        Panel::new(
            Look::Number,
            "Endpoints that take requests",
            "short",
            "As the replica sees it that sees most.",
            vec![(up, "{{pool}}".into())],
        )
        .marked(&[(None, "red"), (Some(1.0), "green")]),
        Panel::new(
            Look::Lines,
            "Database connections",
            "short",
            "What all pools together need now, with every pool scaled out and while all are \
             deployed, beside what the database takes. Empty without `database` in the \
             configuration.",
            vec![
                (max("at", &connections("")), "{{at}}".into()),
                (max("", &from.of(&names::DATABASE_CONNECTIONS_MAX, "")), "limit".into()),
            ],
        ),
    ]
}

fn slots(from: Source<'_>) -> [Panel; 3] {
    let all = |family| sum("", &from.of(family, CHOSEN));
    [
        Panel::new(
            Look::Lines,
            "Slots",
            "short",
            "Puma threads in use, held for requests that have gone, and waited for, beside \
             those there are.",
            vec![
                (all(&names::POOL_IN_FLIGHT), "in flight".into()),
                (all(&names::POOL_ORPHANS), "orphaned".into()),
                (all(&names::POOL_QUEUE_LENGTH), "waiting".into()),
                (all(&names::POOL_EVENT_STREAMS), "streams of events".into()),
                (max("", &from.of(&names::POOL_CAPACITY, CHOSEN)), "capacity".into()),
                (from.rate("", &names::POOL_SLOT_SECONDS, CHOSEN), "in use on average".into()),
            ],
        ),
        Panel::new(
            Look::Lines,
            "Wait for a slot",
            "s",
            "How long requests waited in the queue, those included that were refused there.",
            from.percentiles(&names::QUEUE_WAIT, CHOSEN).into(),
        ),
        Panel::new(
            Look::Lines,
            "Slot held",
            "s",
            "How long an attempt had a slot: the monolith's own time, without the queue.",
            from.percentiles(&names::UPSTREAM, CHOSEN).into(),
        ),
    ]
}

fn endpoints(from: Source<'_>) -> [Panel; 3] {
    [
        Panel::new(
            Look::Stacked,
            "Requests by audience",
            "reqps",
            "Who uses this pool.",
            vec![(from.rate("audience", &names::REQUESTS, CHOSEN), "{{audience}}".into())],
        ),
        Panel::new(
            Look::Lines,
            "Endpoints by state",
            "short",
            "up takes requests; ejected takes none for a while since requests went wrong; \
             down takes none until checks pass or its name resolves; drained was told so.",
            vec![(max("state", &from.of(&names::POOL_ENDPOINTS, CHOSEN)), "{{state}}".into())],
        ),
        Panel::new(
            Look::Lines,
            "What happened to endpoints",
            "short",
            "Ejected and returned, down and up, added and removed. `usher status` says \
             which and why.",
            vec![(
                sum(
                    "event",
                    &format!(
                        "increase({}[$__rate_interval])",
                        from.of(&names::ENDPOINT_EVENTS, CHOSEN)
                    ),
                ),
                "{{event}}".into(),
            )],
        ),
    ]
}

fn trouble(from: Source<'_>) -> [Panel; 3] {
    [
        Panel::new(
            Look::Lines,
            "Retries",
            "reqps",
            "Attempts a second after a request's first one, by reason; refused ones had no \
             budget left, which is what an outage looks like.",
            vec![
                (from.rate("reason", &names::RETRIES, CHOSEN), "{{reason}}".into()),
                (from.rate("", &names::RETRIES_REFUSED, CHOSEN), "refused".into()),
            ],
        ),
        Panel::new(
            Look::Stacked,
            "Faults",
            "reqps",
            "Requests a second that the monolith did not serve as asked, by reason.",
            vec![(
                format!("{} > 0", from.rate("fault, blame", &names::FAULTS, CHOSEN)),
                "{{fault}} ({{blame}})".into(),
            )],
        ),
        Panel::new(
            Look::Lines,
            "TLS with endpoints",
            "ops",
            "Handshakes a second by how they ended, for requests; only where endpoints speak TLS.",
            vec![(
                from.rate("result", &names::UPSTREAM_TLS_HANDSHAKES, CHOSEN),
                "{{result}}".into(),
            )],
        ),
    ]
}
