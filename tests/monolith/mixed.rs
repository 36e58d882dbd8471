//! A mixed load: everything that people ask a shop for, and what must come of it.

use std::{collections::BTreeSet, net::SocketAddr};

use serde_json::Value;

use super::{
    ledger::{Entry, Ledger},
    visitor::Visitor,
};
use crate::support::client::Answer;

/// A request, and who has to answer how.
#[derive(Clone, Copy, Debug)]
struct Kind {
    audience: &'static str,
    status: u16,
    line: &'static str,
    fields: &'static str,
    body: &'static str,
}

/// What came of a load.
#[derive(Default)]
pub struct Done {
    pub ledger: Ledger,
    /// The ids that the answers carried.
    pub request_ids: BTreeSet<String>,
}

const KITCHEN: &str = "Host: Kitchen.example.com:8080\r\n";
const INSIDE: &str = "X-Forwarded-For: 10.1.2.3\r\n";
const OUTSIDE: &str = "X-Forwarded-For: 192.0.2.7\r\n";
const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";
const DRIVER: &str = "X-App: driver\r\n";
const TILL: &str = "X-App: till\r\n";
const CHUNKS: &str = "5\r\nhello\r\n7\r\n, Rails\r\n0\r\n\r\n";

/// Asked by every visitor.
const EVERYBODY: &[Kind] = &[
    kind("customer", 200, "GET /", "", ""),
    kind("customer", 200, "GET /menus.json?page=1", "", ""),
    kind("customer", 200, "GET /menus/1", "Cookie: a=b\r\n", ""),
    kind("customer", 200, "HEAD /bytes/100000", "", ""),
    kind("customer", 200, "GET /bytes/100000", "", ""),
    kind("customer", 200, "GET /bytes/100000?chunked=1", "", ""),
    kind("customer", 200, "POST /echo", "", "a=1&b=2"),
    kind("customer", 200, "PUT /echo", CHUNKED, CHUNKS),
    kind("customer", 200, "GET /administrators/echo", "X-Audience: admin\r\n", ""),
    kind("customer", 301, "GET /card", "", ""),
    kind("customer", 404, "GET /no/such/path", "", ""),
    kind("customer", 404, "HEAD /no/such/path", "", ""),
    kind("customer", 422, "POST /orders?menu_id=1&quantity=0", "", ""),
    kind("customer", 500, "GET /fail", "", ""),
    kind("customer", 502, "GET /sendfile", "", ""),
    kind("driver", 200, "GET /api/driver/deliveries", "", ""),
    kind("driver", 200, "GET //api//driver/deliveries/", "", ""),
    kind("driver", 200, "HEAD /api/driver/echo", "", ""),
    kind("driver", 200, "POST /api/driver/echo", "", "position=41.9,12.5"),
    kind("driver", 200, "GET /echo", DRIVER, ""),
    kind("driver", 404, "GET /api/driver/deliveries/100000", "", ""),
    kind("driver", 500, "POST /fail", DRIVER, ""),
    kind("restaurant", 200, "GET /restaurant/orders", "", ""),
    kind("restaurant", 200, "GET /api/restaurant/echo", "", ""),
    kind("restaurant", 200, "GET /menus", KITCHEN, ""),
    kind("restaurant", 200, "PATCH /echo", TILL, "{\"price\":900}"),
    kind("restaurant", 301, "GET /card", TILL, ""),
    kind("webhooks", 200, "POST /webhooks/echo", "", "{\"paid\":true}"),
    kind("webhooks", 404, "POST /webhooks/stripe", CHUNKED, CHUNKS),
    kind("admin", 200, "GET /admin", INSIDE, ""),
    kind("admin", 200, "GET /admin.json", INSIDE, ""),
    kind("admin", 200, "GET /admin/reports/sales?days=3", INSIDE, ""),
    kind("admin", 404, "DELETE /admin/reports/sales", INSIDE, ""),
    kind("admin", 403, "GET /admin/reports/sales?days=100000", OUTSIDE, ""),
    kind("admin", 403, "POST /admin/echo", OUTSIDE, "let me in"),
    kind("none", 400, "GET /menus/../admin", INSIDE, ""),
    kind("none", 400, "GET /menus/%2e%2e%2fadmin", "", ""),
];

/// Asked by one visitor alone: SQLite has room for one writer.
const WRITER: &[Kind] = &[
    kind("customer", 201, "POST /orders?menu_id=1&quantity=2", "", ""),
    kind("driver", 204, "POST /api/driver/position", FORM, "driver=d7&latitude=41.9&longitude=12"),
    kind("restaurant", 200, "PATCH /restaurant/menus/1?price_cents=900", "", ""),
];

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

/// How many requests one round of [`send`] makes, the writer's not counted.
pub const ROUND: usize = EVERYBODY.len();

/// Has `visitors` at once ask for everything `rounds` times, each in an order of its own.
///
/// Every answer is held to what was asked.
pub async fn send(address: SocketAddr, visitors: usize, rounds: usize) -> Done {
    let visit = |number: usize| {
        tokio::spawn(async move {
            let mut visitor = Visitor::new(address);
            let mut random = fastrand::Rng::with_seed(number as u64);
            let mut done = Done::default();
            for _ in 0..rounds {
                let writes = if number == 0 { WRITER } else { &[] };
                let mut kinds: Vec<&Kind> = EVERYBODY.iter().chain(writes).collect();
                random.shuffle(&mut kinds);
                for kind in kinds {
                    let answer = visitor.ask(&kind.request()).await.expect("an answer");
                    kind.check(&answer);
                    done.enter(kind, &answer);
                }
            }
            done
        })
    };
    let visiting: Vec<_> = (0..visitors).map(visit).collect();
    let mut all = Done::default();
    for visit in visiting {
        let done = visit.await.expect("every answer is as it should be");
        all.ledger.add(done.ledger);
        all.request_ids.extend(done.request_ids);
    }
    all
}

/// The pool of an audience: its own, except for one that shares.
pub fn pool_of(audience: &str) -> &str {
    if audience == "webhooks" { "restaurant" } else { audience }
}

const fn kind(
    audience: &'static str,
    status: u16,
    line: &'static str,
    fields: &'static str,
    body: &'static str,
) -> Kind {
    Kind { audience, status, line, fields, body }
}

// === impl Done ===

impl Done {
    fn enter(&mut self, kind: &Kind, answer: &Answer) {
        self.ledger.enter(Entry {
            audience: kind.audience.to_owned(),
            pool: pool_of(kind.audience).to_owned(),
            status: kind.status.to_string(),
            outcome: kind.outcome().to_owned(),
        });
        let id = answer.field("x-request-id").expect("an id").to_owned();
        assert!(self.request_ids.insert(id), "an id stands for one request: {answer:?}");
    }
}

// === impl Kind ===

impl Kind {
    fn request(&self) -> String {
        let Self { line, fields, body, .. } = self;
        let host = if fields.contains("Host:") { "" } else { "Host: shop.example\r\n" };
        let length = if body.is_empty() || *fields == CHUNKED {
            String::new()
        } else {
            format!("Content-Length: {}\r\n", body.len())
        };
        format!("{line} HTTP/1.1\r\n{host}{fields}{length}\r\n{body}")
    }

    /// Why usher answers itself; `None` where Rails does.
    fn fault(&self) -> Option<&'static str> {
        match self.status {
            400 => Some("ambiguous_path"),
            403 => Some("not_admitted"),
            502 => Some("sendfile_answer"),
            _ => None,
        }
    }

    fn outcome(&self) -> &'static str {
        match self.status {
            400 | 403 => "refused",
            502 => "failed",
            _ => "served",
        }
    }

    fn check(&self, answer: &Answer) {
        let pool = self.fault().is_none().then(|| pool_of(self.audience));
        assert_eq!(answer.status, self.status, "{self:?}: {answer:?}");
        assert_eq!(answer.field("x-pool"), pool, "{self:?}: {answer:?}");
        assert_eq!(answer.field("x-usher-fault"), self.fault(), "{self:?}: {answer:?}");
        assert!(answer.whole, "{self:?}: {answer:?}");
        if self.line.starts_with("HEAD ") {
            assert!(answer.body.is_empty(), "{self:?}");
        } else if self.line.contains("/bytes/100000") {
            assert_eq!(answer.body.len(), 100_000, "{self:?}");
        } else if self.line.ends_with("/echo") && self.status == 200 {
            let echo: Value = serde_json::from_slice(&answer.body).expect("JSON");
            let sent = if *self.fields == *CHUNKED { "hello, Rails" } else { self.body };
            assert_eq!(echo["headers"]["HTTP_X_AUDIENCE"], self.audience, "{self:?}");
            assert_eq!(echo["body"]["bytes"], sent.len(), "{self:?}");
        }
    }
}
