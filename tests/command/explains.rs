//! What the shop's example says about requests, word for word, and what generators write.

use std::fs;

use crate::support::binary::said;

/// What stands between a command and what it is asked.
const EXAMPLE: [&str; 2] = ["--config", "config/examples/food-delivery.yaml"];

#[track_caller]
fn check(request: &[&str], expected: &str) {
    let arguments = [&["explain"], &EXAMPLE[..], request, &["--from", "203.0.113.9"]].concat();
    let output = said(&arguments);
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(text, expected, "{request:?}");
    assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]), "{request:?}");
}

#[test]
fn explain_says_who_each_of_the_shops_requests_is_for() {
    check(
        &["GET", "/"],
        "audience: customer, because of path / and method GET or HEAD (line 73)\n\
         pool: customer; connect 1s, first byte 10s, between bytes 1m, total 20s\n\
         promise: 99.9% available; 99% within 400ms\n",
    );
    check(
        &["POST", "/api/driver/position"],
        "audience: driver, because of path /api/driver/** (line 51)\n\
         pool: driver; connect 1s, first byte 3s, between bytes 1m, total 5s\n\
         promise: 99.9% available; 99% within 300ms; position: 99.95% available\n",
    );
    check(
        &["GET", "https://kitchen.example.com/menu"],
        "audience: restaurant, because of host kitchen.example.com (line 66)\n\
         pool: restaurant; connect 1s, first byte 10s, between bytes 1m, total 20s\n\
         promise: 99.95% available; 99% within 500ms\n",
    );
    check(
        &["POST", "/webhooks/stripe"],
        "audience: webhooks, because of path /webhooks/stripe or /webhooks/maps or /webhooks/sms \
         and method POST (line 26)\n\
         pool: background; connect 1s, first byte 25s, between bytes 1m, total 25s\n\
         promise: 99.9% available\n",
    );
    check(
        &["GET", "/wp-login.php"],
        "audience: public, because it takes what no rule takes\n\
         pool: public; connect 1s, first byte 10s, between bytes 1m, total 20s\n\
         promise: none\n",
    );
}

#[test]
fn explain_says_why_a_request_is_refused() {
    check(
        &["GET", "//admin/reports/"],
        "audience: admin, because of path /admin/** (line 41)\n\
         refused: 403 not_admitted: admin admits only client 10.0.0.0/8 or 192.168.0.0/16\n",
    );
    check(
        &["GET", "/menus/..%2fadmin"],
        "audience: none\n\
         refused: 400 ambiguous_path: a segment of the path is `.` or `..` (percent escapes \
         decoded once)\n",
    );
}

#[test]
fn schema_is_what_the_project_ships() {
    let schema = said(&["schema"]);
    assert_eq!((schema.status.code(), &*schema.stderr), (Some(0), &b""[..]));
    assert!(schema.stdout == fs::read("config/usher.schema.json").expect("the schema"));
    let example = said(&["schema", "--example"]);
    assert_eq!((example.status.code(), &*example.stderr), (Some(0), &b""[..]));
    assert!(example.stdout == fs::read("config/usher.yaml").expect("the example"));
}
