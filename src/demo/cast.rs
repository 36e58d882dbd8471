//! Who plays in the demo: four audiences, what their pools are like and how they behave.

use http::Method;

/// An audience of the demo, and the pool that serves it.
#[derive(Debug)]
pub struct Part {
    /// The name of the audience and of its pool.
    pub name: &'static str,
    /// What they are called in a sentence.
    pub people: &'static str,
    /// Its rules and its promise, as a configuration has them.
    pub written: &'static str,
    /// How many endpoints its pool has.
    pub endpoints: usize,
    /// Threads of each endpoint.
    pub threads: usize,
    /// How many clients there are.
    pub clients: usize,
    /// How long a client waits between an answer and its next request, on average.
    pub pause_ms: u64,
    /// What they ask for.
    pub pages: &'static [Page],
}

/// Something that the monolith can be asked for.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Its method.
    pub method: &'static str,
    /// Its path; a segment that starts with `:` stands for a number.
    pub path: &'static str,
    /// What `X-App` says, where the path does not tell who asks.
    pub app: Option<&'static str>,
    /// How often it is asked for, relative to the audience's others.
    pub share: u32,
    /// Bytes that are sent with the request.
    pub sent_bytes: usize,
    /// How long a thread works on it, at least and at most.
    pub work_ms: (u64, u64),
    /// The answer's status.
    pub status: u16,
    /// The answer's size.
    pub answer_bytes: usize,
}

/// The four, in the order in which usher tries their rules.
pub static CAST: [Part; 4] = [
    Part {
        name: "admin",
        people: "admins",
        written: "match: [{ path: /admin/** }]\n    \
                  slo: { availability: 99.5%, latency: { within: 2s, target: 95% } }",
        endpoints: 1,
        threads: 2,
        clients: 2,
        pause_ms: 700,
        pages: &[
            page("GET", "/admin/reports/:id", 6, (200, 500), 600_000),
            page("GET", "/admin/orders.json", 4, (100, 300), 200_000),
        ],
    },
    Part {
        name: "driver",
        people: "drivers",
        written: "match: [{ path: /api/driver/** }, { header: { X-App: driver } }]\n    \
                  slo: { availability: 99.9%, latency: { within: 100ms, target: 99% } }",
        endpoints: 1,
        threads: 4,
        clients: 20,
        pause_ms: 180,
        pages: &[
            Page {
                sent_bytes: 90,
                status: 202,
                ..page("POST", "/api/driver/position", 17, (1, 4), 60)
            },
            page("GET", "/api/driver/jobs", 2, (3, 10), 900),
            Page { app: Some("driver"), ..page("GET", "/orders/:id", 1, (3, 10), 700) },
        ],
    },
    Part {
        name: "restaurant",
        people: "restaurants",
        written: "match: [{ path: /restaurant/** }, { header: { X-App: restaurant } }]\n    \
                  slo: { availability: 99.9%, latency: { within: 300ms, target: 99% } }",
        endpoints: 1,
        threads: 3,
        clients: 6,
        pause_ms: 300,
        pages: &[
            page("GET", "/restaurant/orders", 8, (20, 60), 20_000),
            Page {
                sent_bytes: 40,
                ..page("POST", "/restaurant/orders/:id/ready", 1, (20, 40), 300)
            },
            Page { app: Some("restaurant"), ..page("GET", "/menus/:id", 1, (15, 30), 9_000) },
        ],
    },
    Part {
        name: "customer",
        people: "customers",
        written: "slo: { availability: 99.9%, latency: { within: 100ms, target: 99% } }",
        endpoints: 2,
        threads: 3,
        clients: 16,
        pause_ms: 110,
        pages: &[
            page("GET", "/", 3, (5, 15), 6_000),
            page("GET", "/menus/:id", 8, (8, 25), 4_000),
            page("GET", "/orders/:id", 4, (5, 15), 800),
            Page { sent_bytes: 400, status: 201, ..page("POST", "/orders", 1, (15, 40), 500) },
        ],
    },
];

/// The part whose people are flooded with by the key `a`.
pub const FLOODED: usize = 0;
/// The part whose pool is slowed down by the key `s`.
pub const SLOWED: usize = 2;
/// The part one of whose endpoints is killed by the key `k`.
pub const KILLED: usize = 3;

// === impl Page ===

impl Page {
    /// Whether it is what `method` and `path` ask for.
    pub fn is_at(&self, method: &Method, path: &str) -> bool {
        let (ours, theirs) = (self.path.split('/'), path.split('/'));
        let same = |(ours, theirs): (&str, &str)| ours.starts_with(':') || ours == theirs;
        self.method == method.as_str()
            && ours.clone().count() == theirs.clone().count()
            && ours.zip(theirs).all(same)
    }

    /// A path of it, with `number` where it takes one.
    pub fn target(&self, number: u32) -> String {
        self.path.replace(":id", &number.to_string())
    }
}

// === free functions ===

const fn page(
    method: &'static str,
    path: &'static str,
    share: u32,
    work_ms: (u64, u64),
    answer_bytes: usize,
) -> Page {
    Page { method, path, app: None, share, sent_bytes: 0, work_ms, status: 200, answer_bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_found_by_every_path_of_it() {
        for page in CAST.iter().flat_map(|part| part.pages) {
            let method = Method::from_bytes(page.method.as_bytes()).expect("a method");
            assert!(page.is_at(&method, &page.target(77)), "{}", page.path);
            assert!(!page.is_at(&Method::DELETE, page.path));
            assert!(!page.is_at(&method, "/somewhere/else/than/all/these"));
        }
    }

    #[test]
    fn the_traffic_stays_light() {
        let rate: u64 = CAST.iter().map(|part| part.clients as u64 * 1_000 / part.pause_ms).sum();
        assert!(rate < 500, "{rate} requests a second");
    }
}
