//! usher itself: replicas and what they run, connections, and what it should not have to do.

use super::{
    board::{Board, Look, Panel, Variable},
    series::{Source, max, sum},
};
use crate::meters::names::{self, Family};

/// None of it is good.
const ANY_IS_BAD: &[(Option<f64>, &str)] = &[(None, "green"), (Some(1.0), "red")];

/// Days to the end of a certificate.
const ENDS: &[(Option<f64>, &str)] = &[(None, "red"), (Some(7.0), "yellow"), (Some(21.0), "green")];

/// The matcher for what was chosen.
const CHOSEN: &str = "instance=~\"$instance\"";

pub(super) fn board(from: Source<'_>) -> Board {
    let mut board = Board::new(
        "usher",
        "usher-itself",
        "The replicas of usher: what they run, who is connected, and what goes wrong with usher \
         itself.",
    );
    board.variable(Variable {
        name: "instance",
        query: format!("label_values({}, instance)", from.of(&names::BUILD_INFO, "")),
        without: "",
    });
    board.row("Replicas and configurations", None);
    replicas(from).iter().for_each(|panel| board.panel(panel));
    configurations(from).iter().for_each(|panel| board.panel(panel));
    board.row("Connections", None);
    connections(from).iter().for_each(|panel| board.panel(panel));
    endings(from).iter().for_each(|panel| board.panel(panel));
    bodies(from).iter().for_each(|panel| board.panel(panel));
    board.row("What should not be", None);
    trouble(from).iter().for_each(|panel| board.panel(panel));
    board
}

/// Lines, a third of the width.
fn lines(
    title: &'static str,
    says: &'static str,
    unit: &'static str,
    queries: Vec<(String, String)>,
) -> Panel {
    Panel::new(Look::Lines, title, unit, says, queries)
}

fn replicas(from: Source<'_>) -> [Panel; 4] {
    let number = |title, says, marks, query: (String, &str)| {
        let queries = vec![(query.0, query.1.to_owned())];
        Panel::new(Look::Number, title, "short", says, queries).marked(marks).wide(6)
    };
    let build = from.of(&names::BUILD_INFO, CHOSEN);
    let info = from.of(&names::CONFIG_INFO, CHOSEN);
    let refused = from.of(&names::CONFIG_REFUSED, CHOSEN);
    let none_is_bad: &[(Option<f64>, &str)] = &[(None, "red"), (Some(1.0), "green")];
    [
        number(
            "Replicas",
            "Processes that Prometheus scrapes, by version.",
            none_is_bad,
            (format!("count by (version) ({build})"), "{{version}}"),
        ),
        number(
            "Configurations",
            "More than one for longer than a roll-out takes: replicas serve by different files.",
            &[(None, "green"), (Some(2.0), "yellow")],
            (format!("count(count by (hash) ({info}))"), "in use"),
        ),
        number(
            "Refused",
            "Replicas whose file has an error, so that an older configuration is in use.",
            ANY_IS_BAD,
            (sum("", &refused), "replicas"),
        ),
        number(
            "Verbs in force",
            "What operators have paused, closed or drained and not ended.",
            &[(None, "green"), (Some(1.0), "yellow")],
            (max("verb, target", &from.of(&names::VERBS_IN_FORCE, CHOSEN)), "{{verb}} {{target}}"),
        ),
    ]
}

fn configurations(from: Source<'_>) -> [Panel; 3] {
    let reloads = from.of(&names::CONFIG_RELOADS, CHOSEN);
    let requests = from.rate("instance", &names::REQUESTS, CHOSEN);
    [
        lines(
            "Requests by replica",
            "How evenly clients are spread. Requests a second.",
            "reqps",
            vec![(requests, "{{instance}}".into())],
        ),
        lines(
            "Reloads",
            "Asked for, or after a change of the file, by what came of them.",
            "short",
            vec![(
                sum("result", &format!("increase({reloads}[$__rate_interval])")),
                "{{result}}".into(),
            )],
        ),
        lines(
            "Waiting for an operator",
            "Requests that wait because their audience or pool is paused.",
            "short",
            vec![(sum("target", &from.of(&names::PAUSED_REQUESTS, CHOSEN)), "{{target}}".into())],
        ),
    ]
}

fn connections(from: Source<'_>) -> [Panel; 3] {
    let ends = from.of(&names::TLS_CERTIFICATE_EXPIRES, CHOSEN);
    [
        lines(
            "Connections",
            "Clients' connections that are open, by listener.",
            "short",
            vec![(sum("listener", &from.of(&names::CONNECTIONS, CHOSEN)), "{{listener}}".into())],
        ),
        lines(
            "TLS handshakes",
            "A second, by how they ended.",
            "ops",
            vec![(from.rate("result", &names::TLS_HANDSHAKES, CHOSEN), "{{result}}".into())],
        ),
        Panel::new(
            Look::Number,
            "Certificates end in days",
            "none",
            "As the replica sees it whose copy ends first.",
            vec![(
                format!("(min by (certificate) ({ends}) - time()) / 86400"),
                "{{certificate}}".into(),
            )],
        )
        .marked(ENDS),
    ]
}

fn endings(from: Source<'_>) -> [Panel; 3] {
    let rate = |by: &str, family: &Family| from.rate(by, family, CHOSEN);
    [
        lines(
            "HTTP/2 connections ended",
            "A second, by why they did; floods have reasons of their own.",
            "ops",
            vec![
                (rate("reason", &names::HTTP2_CLOSED), "{{reason}}".into()),
                (rate("", &names::HTTP2_REFUSED), "streams refused".into()),
            ],
        ),
        lines(
            "WebSockets",
            "Open ones, and how many end a second by why they do.",
            "short",
            vec![
                (sum("", &from.of(&names::TUNNELS, CHOSEN)), "open".into()),
                (
                    format!("{} > 0", rate("reason, blame", &names::TUNNELS_CLOSED)),
                    "{{reason}} ({{blame}})".into(),
                ),
            ],
        ),
        lines(
            "PROXY headers",
            "A second, by what became of them. Only where a listener requires one.",
            "ops",
            vec![(rate("result", &names::PROXY_HEADERS), "{{result}}".into())],
        ),
    ]
}

fn bodies(from: Source<'_>) -> [Panel; 3] {
    let kept = sum("place", &from.of(&names::BUFFER_BYTES, CHOSEN));
    let room = sum("", &from.of(&names::BUFFER_MEMORY_MAX, CHOSEN));
    let addresses = max("name", &from.of(&names::DNS_ADDRESSES, CHOSEN));
    let failing = max("name", &from.of(&names::DNS_FAILING_SECONDS, CHOSEN));
    [
        lines(
            "Bodies kept",
            "Requests that are gathered and answers that are read ahead of their clients, in \
             memory and on disk, beside how much memory they may occupy together.",
            "bytes",
            vec![(kept, "{{place}}".into()), (room, "room in memory".into())],
        ),
        lines(
            "Who they say they are",
            "What came of what requests carried to prove who asks, a second. Only where the \
             configuration has identities.",
            "reqps",
            vec![(
                from.rate("source, result", &names::IDENTITIES, CHOSEN),
                "{{source}}: {{result}}".into(),
            )],
        ),
        lines(
            "Names of endpoints",
            "How many addresses a name stands for, and for how many seconds look-ups have failed. \
             Only where endpoints have names.",
            "short",
            vec![
                (addresses, "{{name}}: addresses".into()),
                (format!("{failing} > 0"), "{{name}}: seconds without an answer".into()),
            ],
        ),
    ]
}

fn trouble(from: Source<'_>) -> [Panel; 3] {
    let rate = |by: &str, family: &Family, matchers: &str| from.rate(by, family, matchers);
    let panicked = format!("{CHOSEN},fault=\"panicked\"");
    let usher = format!("{CHOSEN},blame=\"usher\"");
    [
        lines(
            "Lost or broken",
            "Requests that made usher panic (a defect), lines of the access log that were lost, \
             and moments without a descriptor. A second; all of it should be 0.",
            "ops",
            vec![
                (rate("", &names::FAULTS, &panicked), "panicked".into()),
                (rate("", &names::LOG_LINES_DROPPED, CHOSEN), "log lines lost".into()),
                (rate("", &names::SLO_EVENTS_UNKEPT, CHOSEN), "events without a budget".into()),
                (rate("what", &names::BUFFER_SHORTAGES, CHOSEN), "no memory for a {{what}}".into()),
                (
                    rate("place", &names::DESCRIPTOR_SHORTAGES, CHOSEN),
                    "no descriptor for a {{place}}".into(),
                ),
            ],
        ),
        lines(
            "Refused by policy",
            "Requests a second that usher did not let through: queues, limits, verbs.",
            "reqps",
            vec![(format!("{} > 0", rate("fault", &names::FAULTS, &usher)), "{{fault}}".into())],
        ),
        lines(
            "Fields dropped",
            "Fields of requests a second that were dropped because of a `_` in their names.",
            "ops",
            vec![(rate("audience", &names::FIELDS_DROPPED, CHOSEN), "{{audience}}".into())],
        ),
    ]
}
