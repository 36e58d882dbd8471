//! The name of every metric, and what it stands for. `docs/metrics.md` is held to this list.

/// A metric: one name, one type, one set of labels.
#[derive(Debug)]
pub struct Family {
    /// Its name, with the unit and `_total` where it counts.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its labels, in the order in which they are rendered.
    pub labels: &'static [&'static str],
    /// How the values of several replicas become one.
    pub over_replicas: OverReplicas,
    /// One sentence for whoever looks at it in Prometheus.
    pub help: &'static str,
}

/// What a metric is to Prometheus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by bucket.
    Histogram,
}

/// How the values of several replicas become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverReplicas {
    /// Each replica has its own part.
    Sum,
    /// Each replica says the same, or the largest is what matters.
    Max,
    /// The smallest is what matters.
    Min,
}

macro_rules! families {
    ($($(#[doc = $help:literal])+ $constant:ident = $name:literal, $kind:ident,
       [$($label:literal),*], $over:ident;)+) => {
        $($(#[doc = $help])+
        pub const $constant: Family = Family {
            name: $name,
            kind: Kind::$kind,
            labels: &[$($label),*],
            over_replicas: OverReplicas::$over,
            help: concat!($($help),+).trim_ascii(),
        };)+

        /// Every metric there is, in the order of `docs/metrics.md`.
        pub const ALL: &[&Family] = &[$(&$constant),+];
    };
}

families! {
    /// Requests that have ended, by the status of their answer and by how they ended.
    REQUESTS = "usher_requests_total", Counter,
        ["audience", "pool", "arm", "status", "outcome"], Sum;
    /// Request read whole to the head of the monolith's answer, queue and attempts included.
    FIRST_BYTE = "usher_first_byte_seconds", Histogram, ["audience", "arm"], Sum;
    /// Head read to the last byte of the monolith's answer handed to the connection.
    REQUEST_DURATION = "usher_request_duration_seconds", Histogram, ["audience", "arm"], Sum;
    /// How long requests waited for a slot, those that got one at once and those refused included.
    QUEUE_WAIT = "usher_queue_wait_seconds", Histogram, ["audience", "pool"], Sum;
    /// How long slots were held, one sample for each attempt.
    UPSTREAM = "usher_upstream_seconds", Histogram, ["pool", "arm"], Sum;
    /// The share of good events that was promised.
    SLO_OBJECTIVE = "usher_slo_objective_ratio", Gauge, ["audience", "slo"], Max;
    /// How fast the error budget goes: at 1 it lasts exactly the window of the promise.
    SLO_BURN_RATE = "usher_slo_burn_rate", Gauge, ["audience", "slo", "window"], Max;
    /// What is left of the error budget, 1 being all of it; below 0 the promise is broken.
    SLO_BUDGET_LEFT = "usher_slo_budget_left_ratio", Gauge, ["audience", "slo"], Min;
    /// When the error budget is used up if it goes on as in the last hour; absent when it is not.
    SLO_EXHAUSTION = "usher_slo_exhaustion_seconds", Gauge, ["audience", "slo"], Min;
    /// What was promised and what came of it, one event a request and promise.
    SLO_EVENTS = "usher_slo_events_total", Counter, ["audience", "slo", "arm", "result"], Sum;
    /// Events that are counted above and missing in budgets, since there are too many promises.
    SLO_EVENTS_UNKEPT = "usher_slo_events_unkept_total", Counter, [], Sum;
    /// Requests that the monolith did not serve as asked, by reason.
    FAULTS = "usher_faults_total", Counter, ["audience", "pool", "fault", "blame"], Sum;
    /// 1xx answers of the monolith, by whether they went to their client.
    INTERIM_ANSWERS = "usher_interim_answers_total", Counter, ["result"], Sum;
    /// Requests that have begun and not ended.
    REQUESTS_IN_FLIGHT = "usher_requests_in_flight", Gauge, ["audience"], Sum;
    /// Fields of requests that were dropped because of a `_` in their names.
    FIELDS_DROPPED = "usher_request_fields_dropped_total", Counter, ["audience"], Sum;
    /// Cookies that were set, so that visitors are known again.
    STICKY_COOKIES = "usher_sticky_cookies_total", Counter, ["audience"], Sum;
    /// What came of what requests carried to prove who asks.
    IDENTITIES = "usher_identities_total", Counter, ["source", "result"], Sum;
    /// Keys in use of those that an issuer publishes.
    JWKS_KEYS = "usher_jwks_keys", Gauge, ["source", "url"], Min;
    /// How long ago the keys in use were fetched; absent before they were for the first time.
    JWKS_AGE = "usher_jwks_age_seconds", Gauge, ["source", "url"], Max;
    /// How often an issuer was asked for its keys: they had changed, had not, or none could be had.
    JWKS_FETCHES = "usher_jwks_fetches_total", Counter, ["source", "url", "result"], Sum;
    /// Requests by where the version of their app lies.
    APP_VERSIONS = "usher_app_versions_total", Counter, ["audience", "version"], Sum;
    /// The share of requests below `min` that is refused now.
    APP_VERSIONS_REFUSED = "usher_app_versions_refused_ratio", Gauge, ["audience"], Max;
    /// Bodies that were asked for their GraphQL operation, by what came of it.
    GRAPHQL_BODIES = "usher_graphql_bodies_total", Counter, ["result"], Sum;
    /// Users in a table.
    TABLE_LINES = "usher_table_lines", Gauge, ["table"], Max;
    /// Endpoints by state.
    POOL_ENDPOINTS = "usher_pool_endpoints", Gauge, ["pool", "state"], Max;
    /// Slots of the pool's endpoints together, as this process counts them.
    POOL_CAPACITY = "usher_pool_capacity", Gauge, ["pool"], Max;
    /// Slots held by requests in progress.
    POOL_IN_FLIGHT = "usher_pool_in_flight", Gauge, ["pool"], Sum;
    /// Slots held for requests that have gone while the monolith still works on them.
    POOL_ORPHANS = "usher_pool_orphans", Gauge, ["pool"], Sum;
    /// Requests that wait for a slot.
    POOL_QUEUE_LENGTH = "usher_pool_queue_length", Gauge, ["pool"], Sum;
    /// In flight, queued and orphaned together: the slots that the pool could use now.
    POOL_DEMAND = "usher_pool_demand", Gauge, ["pool"], Sum;
    /// Streams of events, each of which holds a slot for as long as it lasts.
    POOL_EVENT_STREAMS = "usher_pool_event_streams", Gauge, ["pool"], Sum;
    /// Addresses that a name stands for, those included that are kept while look-ups fail.
    DNS_ADDRESSES = "usher_dns_addresses", Gauge, ["name", "source"], Max;
    /// For how long look-ups of a name have failed; 0 when the last one did not.
    DNS_FAILING_SECONDS = "usher_dns_failing_seconds", Gauge, ["name", "source"], Max;
    /// Look-ups of a name, by how they ended: found, nothing (no such name or no address), failed.
    DNS_LOOKUPS = "usher_dns_lookups_total", Counter, ["name", "source", "result"], Sum;
    /// Time that slots were held, those still held included; its rate is the mean concurrency.
    POOL_SLOT_SECONDS = "usher_pool_slot_seconds_total", Counter, ["pool"], Sum;
    /// Verbs that operators have ordered and that are in force; always 1.
    VERBS_IN_FORCE = "usher_verbs_in_force", Gauge, ["verb", "kind", "target"], Max;
    /// Requests that wait because their audience or pool is paused.
    PAUSED_REQUESTS = "usher_paused_requests", Gauge, ["kind", "target"], Sum;
    /// Attempts after a request's first one.
    RETRIES = "usher_retries_total", Counter, ["pool", "reason"], Sum;
    /// Retries that were wanted and not made, because the pool's budget for them was used up.
    RETRIES_REFUSED = "usher_retries_refused_total", Counter, ["pool"], Sum;
    /// What has happened to endpoints: ejected, returned, down, up, added, removed.
    ENDPOINT_EVENTS = "usher_endpoint_events_total", Counter, ["pool", "event"], Sum;
    /// Database connections that all pools need: now, scaled out, and while all are deployed.
    DATABASE_CONNECTIONS = "usher_database_connections", Gauge, ["at"], Max;
    /// The most connections that the database takes, as it was configured.
    DATABASE_CONNECTIONS_MAX = "usher_database_connections_max", Gauge, [], Max;
    /// Upgraded connections that are open.
    TUNNELS = "usher_tunnels", Gauge, ["audience"], Sum;
    /// Upgraded connections that have ended.
    TUNNELS_CLOSED = "usher_tunnels_closed_total", Counter, ["audience", "reason", "blame"], Sum;
    /// Client connections that are open.
    CONNECTIONS = "usher_connections", Gauge, ["listener"], Sum;
    /// TLS handshakes by how they ended.
    TLS_HANDSHAKES = "usher_tls_handshakes_total", Counter, ["listener", "result"], Sum;
    /// PROXY headers by what became of them.
    PROXY_HEADERS = "usher_proxy_headers_total", Counter, ["listener", "result"], Sum;
    /// When a listener's certificate ends, in seconds since 1970.
    TLS_CERTIFICATE_EXPIRES = "usher_tls_certificate_expires_timestamp_seconds", Gauge,
        ["listener", "certificate"], Min;
    /// TLS handshakes with endpoints by how they ended.
    UPSTREAM_TLS_HANDSHAKES = "usher_upstream_tls_handshakes_total", Counter, ["pool", "result"],
        Sum;
    /// When a certificate that endpoints are shown ends, in seconds since 1970.
    UPSTREAM_CERTIFICATE_EXPIRES = "usher_upstream_tls_certificate_expires_timestamp_seconds",
        Gauge, ["pool", "certificate"], Min;
    /// Connections over HTTP/2 that have ended, by why they did.
    HTTP2_CLOSED = "usher_http2_connections_closed_total", Counter, ["reason"], Sum;
    /// Requests over HTTP/2 that were refused by a reset, since they were malformed or too many.
    HTTP2_REFUSED = "usher_http2_streams_refused_total", Counter, [], Sum;
    /// Reloads that were asked for or that followed a change of content, by what came of them.
    CONFIG_RELOADS = "usher_config_reloads_total", Counter, ["result"], Sum;
    /// How many configurations this process has served by; the first is 1.
    CONFIG_GENERATION = "usher_config_generation", Gauge, [], Max;
    /// The hash of the configuration in use; always 1.
    CONFIG_INFO = "usher_config_info", Gauge, ["hash"], Max;
    /// Whether the file holds an error and an older configuration is in use.
    CONFIG_REFUSED = "usher_config_refused", Gauge, [], Max;
    /// The version that runs; always 1.
    BUILD_INFO = "usher_build_info", Gauge, ["version"], Max;
    /// Bodies that are kept: requests that are gathered, answers that are read ahead.
    BUFFER_BYTES = "usher_buffer_bytes", Gauge, ["place"], Sum;
    /// How much memory bodies may occupy together.
    BUFFER_MEMORY_MAX = "usher_buffer_memory_max_bytes", Gauge, [], Sum;
    /// Bodies that met the ceiling: requests went to disk at once, answers waited for clients.
    BUFFER_SHORTAGES = "usher_buffer_shortages_total", Counter, ["what"], Sum;
    /// Requests whose pool could not take them, by what became of them in the one to fall back to.
    FALLBACKS = "usher_fallbacks_total", Counter, ["audience", "pool", "result"], Sum;
    /// Slots that an audience holds in the pool that it falls back to.
    FALLBACK_IN_FLIGHT = "usher_fallback_in_flight", Gauge, ["audience", "pool"], Sum;
    /// Clients under a rate limit that were forgotten for others, since more came than are counted.
    CLIENTS_FORGOTTEN = "usher_rate_limit_clients_forgotten_total", Counter, ["audience"], Sum;
    /// How many descriptors the process may have open.
    DESCRIPTORS_MAX = "usher_descriptors_max", Gauge, [], Max;
    /// How often a descriptor was needed and there was none left, by what it was for.
    DESCRIPTOR_SHORTAGES = "usher_descriptor_shortages_total", Counter, ["place"], Sum;
    /// Lines of the access log that were dropped because there was no room or the disk failed.
    LOG_LINES_DROPPED = "usher_log_lines_dropped_total", Counter, [], Sum;
}

// === impl Kind ===

impl Kind {
    /// The word that Prometheus uses.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

// === impl OverReplicas ===

impl OverReplicas {
    /// The word that the reference uses.
    pub const fn name(self) -> &'static str {
        match self {
            OverReplicas::Sum => "sum",
            OverReplicas::Max => "max",
            OverReplicas::Min => "min",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_name_tells_the_kind_and_stands_once() {
        let mut names = HashSet::new();
        for family in ALL {
            assert!(names.insert(family.name), "{} stands twice", family.name);
            let counts = family.name.ends_with("_total");
            assert_eq!(counts, family.kind == Kind::Counter, "{}", family.name);
            assert!(family.name.starts_with("usher_") && family.help.ends_with('.'));
        }
    }
}
