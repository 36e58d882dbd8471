//! From the command line to the verdict, over a configuration as it is written.

use std::{io::Write, path::Path};

use clap::Parser;

use super::{ExplainArgs, Explanation, Options, answer};

const SHOP: &str = r#"audiences:
  - name: admin
    match:
      - path: /admin/**
    only: [{ client: 10.0.0.0/8 }]
    pool: admin
    slo: { availability: 99.5%, latency: { within: 2s, target: 95% } }
  - name: driver
    match:
      - path: /api/driver/**
        method: [POST, PUT]
      - header: { X-App: driver }
    pool: shop
    slo:
      - { availability: 99.9% }
      - { name: position, only: [{ path: /api/driver/position }], availability: 99.95% }
  - name: customer
    pool: shop
pools:
  admin: { endpoints: [127.0.0.1:3030], capacity: 2, timeouts: { first_byte: 60s, total: 120s } }
  shop: { endpoints: [127.0.0.1:3000], capacity: 5 }
listeners: [{ bind: 127.0.0.1:8080 }]
"#;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    explain: ExplainArgs,
}

fn ask_of(file: &Path, words: &[&str]) -> Result<(Explanation, Options), String> {
    let file = file.to_str().expect("a plain path");
    let words = ["explain", "--config", file].into_iter().chain(words.iter().copied());
    let command = Command::try_parse_from(words).map_err(|error| error.to_string())?;
    answer(command.explain)
}

fn ask(words: &[&str]) -> Result<(Explanation, Options), String> {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(SHOP.as_bytes()).expect("a written file");
    ask_of(file.path(), words)
}

#[track_caller]
fn check(words: &[&str], expected: &str) {
    let (explanation, _) = ask(words).expect("an answer");
    assert_eq!(explanation.verdict(), expected);
}

#[test]
fn a_verdict_says_audience_pool_and_promise() {
    check(
        &["GET", "https://shop.test//admin/orders/?x=1", "--from", "10.1.2.3"],
        "audience: admin, because of path /admin/** (line 4)\n\
         pool: admin; connect 1s, first byte 1m, between bytes 1m, total 2m\n\
         promise: 99.5% available; 95% within 2s",
    );
    check(
        &["--from", "192.0.2.1", "GET", "/orders"],
        "audience: customer, because it takes what no rule takes\n\
         pool: shop; connect 1s, first byte 15s, between bytes 1m, total 1m\n\
         promise: none",
    );
}

#[test]
fn a_refused_request_says_status_and_reason() {
    check(
        &["GET", "/admin", "--from", "192.0.2.1"],
        "audience: admin, because of path /admin/** (line 4)\n\
         refused: 403 not_admitted: admin admits only client 10.0.0.0/8",
    );
    check(
        &["GET", "/x/..%2fadmin", "--from", "192.0.2.1"],
        "audience: none\n\
         refused: 400 ambiguous_path: a segment of the path is `.` or `..` \
         (percent escapes decoded once)",
    );
}

#[test]
fn a_rule_that_any_client_can_claim_is_called_unverified() {
    check(
        &["GET", "/orders", "-H", "X-App: driver", "--from", "192.0.2.1"],
        "audience: driver, because of header X-App: driver (line 12)\n\
         pool: shop; connect 1s, first byte 15s, between bytes 1m, total 1m\n\
         promise: 99.9% available\n\
         unverified: any client can claim this",
    );
}

#[test]
fn a_pasted_command_line_is_taken_whole_or_in_words() {
    let whole = "curl -X PUT 'https://shop.test/api/driver/position' -H 'X-App: x' --data '{}'";
    let words = ["curl", "-XPUT", "https://shop.test/api/driver/position", "-H", "X-App: x", "-sS"];
    for (explanation, _) in [
        ask(&[whole, "--from", "192.0.2.1"]).expect("an answer"),
        ask(&[&["--from", "192.0.2.1"], &words[..]].concat()).expect("an answer"),
    ] {
        assert_eq!(explanation.audience.as_deref(), Some("driver"));
        assert_eq!(explanation.rule.map(|rule| rule.line), Some(10));
        assert_eq!(explanation.promises, ["99.9% available", "position: 99.95% available"]);
        assert_eq!(explanation.notes, [""; 0]);
    }
}

#[test]
fn the_trace_says_why_every_earlier_rule_did_not_match() {
    let (explanation, options) =
        ask(&["GET", "//orders//", "-v", "--from", "192.0.2.1"]).expect("an answer");
    assert!(options.verbose);
    assert_eq!(
        explanation.tried(),
        "path as Rails sees it: /orders\n\
         \x20 - admin, line 4: path /admin/**\n\
         \x20     path /admin/**: is `/orders`\n\
         \x20 - driver, line 10: path /api/driver/** and method POST or PUT\n\
         \x20     path /api/driver/**: is `/orders`\n\
         \x20 - driver, line 12: header X-App: driver\n\
         \x20     header x-app: driver: there is none\n\
         \x20 + customer: takes all that is left",
    );
}

#[test]
fn another_method_that_rails_may_see_is_named() {
    let from = ["--from", "192.0.2.1"];
    let notes = |words: &[&str]| {
        let (explanation, _) = ask(&[&from, words].concat()).expect("an answer");
        explanation.notes.join("\n")
    };
    let header = notes(&["POST", "/x", "-H", "X-HTTP-Method-Override: delete"]);
    assert!(header.contains("Rails may see DELETE"), "{header}");
    let form = notes(&["curl", "-d", "_method=patch", "http://a.test/x"]);
    assert!(form.contains("Rails may see PATCH"), "{form}");
    let query = notes(&["POST", "/x?_method=patch"]);
    assert!(query.contains("it sees POST"), "{query}");
    assert_eq!(notes(&["GET", "/x", "-H", "X-HTTP-Method-Override: delete"]), "");
}

#[test]
fn what_has_to_be_escaped_is_pointed_out() {
    let (explanation, _) = ask(&["GET", "/café", "--from", "192.0.2.1"]).expect("an answer");
    let note = "sent like this, with 'é' unescaped, it is refused: 400 bad_target";
    assert_eq!(explanation.notes, [note]);
}

#[test]
fn a_client_that_was_not_named_is_pointed_out() {
    let (explanation, _) = ask(&["GET", "/x"]).expect("an answer");
    assert_eq!(explanation.notes, ["the client is taken to be 127.0.0.1; say `--from IP`"]);
}

#[test]
fn a_wrong_command_line_or_configuration_is_a_complaint() {
    for words in [
        &["GET"][..],
        &["GET", "/x", "--from", "nobody"],
        &["GET", "/x", "-H", "no field"],
        &["GET", "/x", "--unknown"],
        &["curl", "-s"],
    ] {
        assert!(ask(words).is_err(), "{words:?}");
    }
    assert!(ask_of(Path::new("/nowhere/usher.yaml"), &["GET", "/x"]).is_err());
}

#[test]
fn a_program_reads_the_same_as_json() {
    let (explanation, options) =
        ask(&["GET", "/admin", "--format", "json", "--from", "192.0.2.1"]).expect("an answer");
    let json = serde_json::json!(explanation);
    assert_eq!(options.format, Some(crate::cli::Format::Json));
    assert_eq!((&json["status"], &json["audience"]), (&403.into(), &"admin".into()));
    assert_eq!(json["rule"]["label"], "path /admin/**");
}

#[test]
fn limits_and_the_timeouts_that_hold_for_this_very_request_are_told() {
    let text = "listeners: [{ bind: 127.0.0.1:8080 }]\n\
        audiences:\n\
        - name: api\n  \
          match: [{ path: /api/reports, timeouts: { total: 2m } }, { path: /api/** }]\n  \
          timeouts: { first_byte: 30s }\n  \
          rate_limit: { audience: { rate: 600/min }, client: { rate: 10/s, burst: 20 } }\n  \
          fallback: { pool: spare, share: 20% }\n  \
          pool: shop\n\
        - { name: customer, pool: shop }\n\
        pools:\n  \
          spare: { endpoints: [127.0.0.1:3001], capacity: 5 }\n  \
          shop: { endpoints: [127.0.0.1:3000], capacity: 5 }\n";
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("a written file");
    let verdict = |words: &[&str]| ask_of(file.path(), words).expect("an answer").0.verdict();
    let told = verdict(&["GET", "/api/reports", "--from", "2001:db8:1:2::9"]);
    let expected = "audience: api, because of path /api/reports (line 4)\n\
        pool: shop; connect 1s, first byte 30s, between bytes 1m, total 2m\n\
        fallback: spare, up to 20% of its slots, when shop cannot take it\n\
        promise: none\n\
        limit: 600/min, 10 at once for all of api; else 429\n\
        limit: 10/s, 20 at once for each client, counted as 2001:db8:1:2::/64; else 429";
    assert_eq!(told, expected);
    let told = verdict(&["GET", "/api/orders", "--from", "192.0.2.1"]);
    assert!(told.contains("first byte 30s, between bytes 1m, total 1m"), "{told}");
    assert!(told.contains("counted as 192.0.2.1;"), "{told}");
}

#[test]
fn it_says_by_what_a_request_is_known_again_where_that_matters() {
    let shop = SHOP.replace("capacity: 5 }", "capacity: 5, balance: hash sticky }")
        + "sticky: { header: X-Device-Id, cookie: { name: _usher } }\n";
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(shop.as_bytes()).expect("a written file");
    let note = |words: &[&str]| {
        let (explanation, _) = ask_of(file.path(), words).expect("an answer");
        let mut notes = explanation.notes.into_iter();
        notes.find(|note| note.starts_with("known"))
    };
    let said = "known again by what its device or cookie says";
    assert_eq!(note(&["GET", "/", "-H", "X-Device-Id: 7"]).as_deref(), Some(said));
    assert_eq!(note(&["GET", "/"]).as_deref(), Some("known by nothing yet: it is told a cookie"));
    assert_eq!(note(&["GET", "/admin/x", "--from", "10.1.2.3"]), None, "its pool does not ask");
}

#[test]
fn a_verdict_says_what_the_version_of_an_app_means() {
    let text = SHOP.replace(
        "  - name: customer\n",
        "  - name: legacy\n    match: [{ version: \"<3\" }]\n    pool: shop\n  \
           - name: customer\n    versions:\n      min: 5.2\n      warn_below: 5.6\n      \
             exempt: /session\n      answer: { status: 403 }\n      \
             brownout: { at: 2126-12-07T08:00:00+01:00, share: 25% }\n",
    );
    let asked = |text: &str, words: &[&str]| {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        let text = format!("versions: {{ from: {{ header: X-App-Version }} }}\n{text}");
        file.write_all(text.as_bytes()).expect("a written file");
        ask_of(file.path(), words).expect("an answer").0
    };
    let told = |text: &str, path: &str, version: &str| {
        let field = format!("X-App-Version: {version}");
        let view = asked(text, &["GET", path, "-H", &field]).app_version.expect("it looks");
        format!("{} {}: {}", view.band, view.status.unwrap_or(0), view.told)
    };
    let old = "below_min 0: below 5.2, and served until 2126-12-07T07:00:00Z, \
               when clients begin to get 403";
    assert_eq!(told(&text, "/", "5.1"), old);
    let began = text.replace("2126-12-07", "2020-12-07");
    let here = |at, became| {
        format!(
            "below 5.2: 403 version_too_old for 25% of clients now; \
             this one stands at {at}% and is {became}"
        )
    };
    let view = |from: &str| {
        let words = ["GET", "/", "-H", "X-App-Version: 5.1", "--from", from];
        asked(&began, &words).app_version.expect("it looks")
    };
    let (refused, served) = (view("192.0.2.5"), view("192.0.2.2"));
    assert_eq!((refused.status, refused.told), (Some(403), here("7.2", "refused")));
    assert_eq!((served.status, served.told), (None, here("34.1", "served")));
    let all = text.lines().filter(|line| !line.contains("brownout")).collect::<Vec<_>>().join("\n");
    assert_eq!(told(&all, "/", "5.1"), "below_min 403: below 5.2: 403 version_too_old");
    let exempt = "below_min 0: older than is served, and served: the path is exempt";
    assert_eq!(told(&all, "/session", "5.1"), exempt);
    let ageing = "below_warn 0: served, and told that it grows old (below 5.6)";
    assert_eq!(told(&all, "/", "5.3"), ageing);
    assert_eq!(told(&all, "/", "5.6"), "current 0: served");
    assert_eq!(told(&all, "/", "latest"), "other 0: served");
    let explanation = asked(&all, &["GET", "/", "-H", "X-App-Version: 2.9"]);
    assert_eq!(explanation.audience.as_deref(), Some("legacy"));
    let verdict = asked(&all, &["GET", "/", "-H", "X-App-Version: 5.1"]).verdict();
    let line = "app version: 5.1 (header x-app-version): below 5.2: 403 version_too_old";
    assert!(verdict.lines().any(|it| it == line), "{verdict}");
    let tried = asked(&all, &["GET", "/"]).tried();
    assert!(tried.contains("version <3: there is none"), "{tried}");
}

/// A shop whose drivers are told by their operations.
fn ask_graphql(settings: &str, words: &[&str]) -> (String, Vec<String>) {
    let rule = "path: /graphql\n        graphql: { operation: Take* }";
    let shop = SHOP.replace("header: { X-App: driver }", rule) + settings;
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(shop.as_bytes()).expect("a written file");
    let (explanation, _) = ask_of(file.path(), words).expect("an answer");
    let who = explanation.audience.clone().expect("an audience");
    (format!("{who} {}", explanation.operation.unwrap_or_default()), explanation.notes)
}

#[test]
fn an_operation_is_found_where_usher_would_find_it_and_a_note_says_why_not() {
    let on = "graphql: { body: 1KiB }\n";
    let body = r#"{"operationName":"TakeOrder"}"#;
    let url = "https://shop.test/graphql";
    let named = |settings, words: &[&str]| ask_graphql(settings, words).0;
    let note = |settings, words: &[&str]| ask_graphql(settings, words).1.join("; ");
    assert_eq!(named(on, &["POST", url, "-d", body]), "driver TakeOrder");
    assert_eq!(named(on, &["POST", &format!("{url}?operationName=TakeIt")]), "driver TakeIt");
    let header = ["POST", url, "-H", "X-Apollo-Operation-Name: TakeIt"];
    assert_eq!(named("", &header), "driver TakeIt");
    let pasted = r#"curl 'https://shop.test/graphql' -H 'content-type: application/json' \
        --data-raw $'{"query":"mutation TakeOrder($a: Int\u0021) {\\n take(a: $a)\\n}"}'"#;
    assert_eq!(named(on, &[pasted]), "driver TakeOrder");
    assert!(note("", &[pasted]).contains("graphql: { body: 64KiB }"));
    assert!(note(on, &["POST", url, "-H", "Content-Type: application/json"]).contains("`-d`"));
    assert!(note(on, &["POST", url, "-d", "[{\"id\":\"1\"},{}]"]).contains("batch"));
    assert!(note(on, &["POST", url, "-d", "x"]).contains("not JSON"));
    assert!(note(on, &["POST", url, "-d", &"x".repeat(2000)]).contains("longer"));
    assert_eq!(named(on, &["POST", "https://shop.test/other", "-d", body]), "customer ");
}
