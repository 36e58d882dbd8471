//! Old versions of apps: refused, warned, or let through, and counted.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use usher::policy::sticky::Place;

use crate::support::{
    client::{Answer, Client},
    origin::{Origin, ok},
    usher::{Usher, one_pool},
};

/// usher whose one audience says this of versions, and an origin that answers `fine`.
async fn asking(versions: &str) -> (Usher, String) {
    let origin = Origin::start().await;
    let endpoint = origin.endpoint();
    origin.serve(|_| ok("fine"));
    (Usher::start(&text(&endpoint, versions)).await, endpoint)
}

fn text(endpoint: &str, versions: &str) -> String {
    let more = "trusted_proxies: [127.0.0.0/8]\n\
                sticky: { header: X-Device-Id }\n\
                versions: { from: [{ header: X-App-Version }, { user_agent: Shop/ }] }\n";
    one_pool(&[endpoint.to_owned()], more).replace(
        "audiences: [{ name: everyone, pool: rails }]",
        &format!(
            "audiences: [{{ name: everyone, pool: rails, slo: {{ availability: 99% }}, \
             versions: {{ {versions} }} }}]"
        ),
    )
}

async fn asked(usher: &Usher, line: &str, fields: &str) -> Answer {
    let mut connection = Client::connect(usher.address()).await;
    connection.send(&format!("{line} HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).await;
    connection.answer().await
}

async fn status_of(usher: &Usher, version: &str) -> u16 {
    asked(usher, "GET /", &format!("X-App-Version: {version}\r\n")).await.status
}

/// Seconds since 1970, so many from now.
fn moment(from_now: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let at = UNIX_EPOCH + Duration::from_secs(now.saturating_add_signed(from_now));
    let at = jiff::Timestamp::try_from(at).expect("in this era");
    format!("\"{at:.0}\"")
}

#[tokio::test]
async fn a_version_below_the_least_is_told_to_upgrade_and_reaches_no_slot() {
    let (usher, _) = asking("min: 5.2, warn_below: 5.20").await;
    let refused = asked(&usher, "POST /orders", "X-App-Version: 5.1.9\r\nContent-Length: 0\r\n");
    let refused = refused.await;
    assert_eq!((refused.status, refused.field("x-usher-fault")), (426, Some("version_too_old")));
    assert_eq!(refused.field("content-type"), Some("application/problem+json"));
    assert_eq!(refused.field("deprecation"), None, "it was not served");
    let problem: Value = serde_json::from_slice(&refused.body).expect("JSON");
    assert_eq!(
        (&problem["fault"], &problem["min_version"]),
        (&"version_too_old".into(), &"5.2".into())
    );
    assert_eq!(problem["status"], 426);
    let page = asked(&usher, "GET /", "X-App-Version: 5\r\nAccept: text/html\r\n").await;
    assert_eq!((page.status, page.field("content-type")), (426, Some("text/html; charset=utf-8")));
    let agent = asked(&usher, "GET /", "User-Agent: Shop/5.1 (iPhone)\r\n").await;
    assert_eq!(agent.status, 426);

    let ageing = asked(&usher, "GET /", "X-App-Version: 5.6\r\n").await;
    assert_eq!((ageing.status, ageing.field("deprecation")), (200, Some("@0")));
    assert_eq!(ageing.field("sunset"), None);
    let current = asked(&usher, "GET /", "X-App-Version: 5.20.0-beta.1\r\n").await;
    assert_eq!((current.status, current.field("deprecation")), (200, None));
    for fields in ["", "X-App-Version: latest\r\n", "X-App-Version: 5.1\r\nX-App-Version: 5.1\r\n"]
    {
        assert_eq!(asked(&usher, "GET /", fields).await.status, 200, "{fields}");
    }
    let samples = usher.stop().await;
    let seen = |band: &str| {
        samples
            .get(&format!("usher_app_versions_total{{audience=\"everyone\",version=\"{band}\"}}"))
    };
    assert_eq!(["below_min", "below_warn", "current"].map(seen), [3.0, 1.0, 1.0]);
    assert_eq!((seen("none"), seen("other")), (1.0, 2.0));
    assert_eq!(samples.get("usher_app_versions_refused_ratio{audience=\"everyone\"}"), 1.0);
    assert_eq!(samples.sum("usher_faults_total", &["version_too_old", "\"client\""]), 3.0);
    assert_eq!(samples.sum("usher_requests_total", &["\"426\"", "refused"]), 3.0);
    assert_eq!(samples.sum("usher_upstream_seconds_count", &[]), 5.0);
    assert_eq!(samples.sum("usher_slo_events_total", &[]), 5.0, "it is the client's fault");
}

#[tokio::test]
async fn the_answer_is_what_old_apps_understand() {
    let answer = "answer: { status: 403, headers: { X-Upgrade: now, Cache-Control: private }, \
                  body: '{\"error\":\"outdated\"}' }";
    let (usher, _) = asking(&format!("min: 5.2, {answer}")).await;
    let old = "X-App-Version: 1\r\nAccept: text/html\r\n";
    let refused = asked(&usher, "GET /", old).await;
    assert_eq!((refused.status, refused.body.as_slice()), (403, &b"{\"error\":\"outdated\"}"[..]));
    assert_eq!(refused.field("content-type"), Some("application/json"));
    assert_eq!(
        (refused.field("x-upgrade"), refused.field("cache-control")),
        (Some("now"), Some("private"))
    );
    assert_eq!(refused.field("x-usher-fault"), Some("version_too_old"));
    let mut connection = Client::connect(usher.address()).await;
    connection.send("HEAD / HTTP/1.1\r\nHost: a\r\nX-App-Version: 1\r\n\r\n").await;
    let head = connection.answer_to_head().await;
    assert_eq!((head.status, head.field("content-length")), (403, Some("20")));
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_requests_total", &["\"403\"", "refused"]), 2.0);
    assert_eq!(samples.sum("usher_slo_events_total", &[]), 0.0);
}

#[tokio::test]
async fn what_is_exempt_and_what_browsers_ask_beforehand_is_served() {
    let (usher, _) = asking("min: 5.2, unknown: refuse, exempt: [/api/session, /health/**]").await;
    let old = "X-App-Version: 5.1\r\n";
    assert_eq!(asked(&usher, "GET /api/session.json", old).await.status, 200);
    let exempt = asked(&usher, "GET /health/deep", old).await;
    assert_eq!((exempt.status, exempt.field("deprecation")), (200, Some("@0")));
    assert_eq!(asked(&usher, "GET /api/sessions", old).await.status, 426);
    assert_eq!(asked(&usher, "GET /", "").await.status, 426, "nothing is no version either");
    let preflight = "Origin: https://app.example\r\nAccess-Control-Request-Method: GET\r\n\
                     Access-Control-Request-Headers: x-app-version\r\n";
    assert_eq!(asked(&usher, "OPTIONS /orders", preflight).await.status, 200);
    assert_eq!(asked(&usher, "OPTIONS /orders", "").await.status, 426);
    let socket = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                  Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let refused = asked(&usher, "GET /cable", &format!("{socket}{old}")).await;
    assert_eq!((refused.status, refused.field("x-usher-fault")), (426, Some("version_too_old")));
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_app_versions_total", &[]), 6.0, "a preflight says nothing");
}

#[tokio::test]
async fn a_brownout_refuses_the_same_clients_and_more_of_them() {
    let by = |share: &str| {
        let began = moment(-3_600);
        format!("min: 5.2, brownout: [{{ at: {began}, share: {share} }}]")
    };
    let refused = async |usher: &Usher| {
        let mut refused = Vec::new();
        for device in 0..60 {
            let fields = format!("X-App-Version: 5\r\nX-Device-Id: {device}\r\n");
            if asked(usher, "GET /", &fields).await.status == 426 {
                refused.push(device);
            }
        }
        refused
    };
    let (usher, endpoint) = asking(&by("25%")).await;
    let first = refused(&usher).await;
    assert!((5..=25).contains(&first.len()), "{}", first.len());
    assert_eq!(refused(&usher).await, first, "the same ones again");
    assert_eq!(status_of(&usher, "5.2").await, 200);
    usher.stop().await;
    for (share, least) in [("60%", first.len() + 1), ("100%", 60)] {
        let usher = Usher::start(&text(&endpoint, &by(share))).await;
        let more = refused(&usher).await;
        assert!(first.iter().all(|device| more.contains(device)), "{first:?} {more:?}");
        assert!(more.len() >= least, "{share}: {}", more.len());
        let samples = usher.stop().await;
        let ratio = samples.get("usher_app_versions_refused_ratio{audience=\"everyone\"}");
        assert_eq!(format!("{:.0}%", ratio * 100.0), share);
    }
}

#[tokio::test]
async fn before_a_brownout_begins_old_apps_are_told_when_they_end() {
    let (begins, ends) = (moment(3_600), moment(1_000_000));
    let (usher, _) = asking(&format!(
        "min: 5.2, warn_below: 5.6, warn_since: 2026-11-01, \
         brownout: {{ at: {begins}, share: 1%, until: {ends} }}"
    ))
    .await;
    let old = asked(&usher, "GET /", "X-App-Version: 5\r\n").await;
    assert_eq!((old.status, old.field("deprecation")), (200, Some("@1793491200")));
    let sunset = old.field("sunset").expect("it ends").to_owned();
    let sunset = httpdate::parse_http_date(&sunset).expect("an HTTP-date");
    let left = sunset.duration_since(SystemTime::now()).expect("in the future").as_secs();
    assert!((999_000..=1_000_000).contains(&left), "{left}");
    let ageing = asked(&usher, "GET /", "X-App-Version: 5.3\r\n").await;
    assert_eq!((ageing.field("deprecation"), ageing.field("sunset")), (Some("@1793491200"), None));
    usher.stop().await;
}

#[tokio::test]
async fn who_stands_below_the_share_is_known_by_device_then_cookie_then_address() {
    let origin = Origin::start().await;
    let endpoint = origin.endpoint();
    origin.serve(|_| ok("fine"));
    let began = moment(-3_600);
    let mut refused_before = 0;
    for share in ["25%", "60%"] {
        let versions = format!("min: 5.2, brownout: [{{ at: {began}, share: {share} }}]");
        let cookie = "sticky: { header: X-Device-Id, cookie: { name: visitor, set: off } }";
        let config = text(&endpoint, &versions).replace("sticky: { header: X-Device-Id }", cookie);
        let usher = Usher::start(&config).await;
        let ratio = if share == "25%" { 0.25 } else { 0.6 };
        let mut refused = 0;
        for who in 1..=20 {
            // A client without any of it, of which many may stand behind one address.
            let from = format!("X-App-Version: 5\r\nX-Forwarded-For: 192.0.2.{who}\r\n");
            let network = format!("X-App-Version: 5\r\nX-Forwarded-For: 2001:db8:{who}::7\r\n");
            let browser = format!("{from}Cookie: visitor=browser-{who}\r\n");
            let phone = format!("{browser}X-Device-Id: phone-{who}\r\n");
            for (fields, known_by) in [
                (from, format!("192.0.2.{who}")),
                (network, format!("2001:db8:{who}::/64")),
                (browser, format!("browser-{who}")),
                (phone, format!("phone-{who}")),
            ] {
                let place = Place::of("versions/everyone", known_by.as_bytes());
                let answer = asked(&usher, "GET /", &fields).await;
                let expected = if place.is_within(ratio) { 426 } else { 200 };
                assert_eq!(answer.status, expected, "{known_by} at {share}");
                assert_eq!(answer.field("set-cookie"), None);
                refused += u32::from(expected == 426);
            }
        }
        assert!(refused > refused_before, "{refused} at {share}");
        refused_before = refused;
        usher.stop().await;
    }
}
