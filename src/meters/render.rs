//! All metrics as one text.

use std::time::Instant;

use crate::name::{NONE, Name};

use super::{
    Interim, Meters,
    gauges::{
        BufferGauges, FallbackGauges, Gauges, IssuerGauges, NameGauges, PoolGauges, PromiseGauges,
        VerbGauges,
    },
    names::{self, Family},
    text::Text,
};

/// Room for four audiences, so that most texts are written without growing.
const TEXT_BYTES: usize = 64 * 1024;

/// A metric of pools, and what it shows of one.
type PoolGauge = (&'static Family, fn(&PoolGauges) -> u64);

// === impl Meters ===

impl Meters {
    /// Every metric, in Prometheus' text format 0.0.4. What is not counted here is in `gauges`.
    pub fn render(&self, gauges: &Gauges) -> String {
        let mut text = Text::with_capacity(TEXT_BYTES);
        self.render_requests(&mut text);
        self.render_answers(&mut text);
        render_standings(&gauges.promises, &mut text);
        self.render_promises(&mut text);
        self.render_places(&mut text);
        self.render_audiences(&mut text);
        self.render_leases(&gauges.encrypted(), &mut text);
        self.render_identities(&mut text);
        render_issuers(&gauges.issuers, &mut text);
        self.render_apps(&gauges.versions, &mut text);
        text.family(&names::TABLE_LINES);
        for (table, lines) in &gauges.tables {
            text.sample(&names::TABLE_LINES, &[table.as_str()], lines);
        }
        render_pools(&gauges.pools, &mut text);
        render_names(&gauges.names, &mut text);
        render_verbs(&gauges.verbs, &mut text);
        render_database(gauges, &mut text);
        render_buffers(&gauges.buffers, &mut text);
        render_fallbacks(&gauges.fallbacks, &mut text);
        text.family(&names::CLIENTS_FORGOTTEN);
        for (audience, count) in &gauges.forgotten {
            text.sample(&names::CLIENTS_FORGOTTEN, &[audience.as_str()], count);
        }
        text.family(&names::CONNECTIONS);
        for listener in &gauges.listeners {
            text.sample(&names::CONNECTIONS, &[&listener.listener], listener.connections);
        }
        text.family(&names::TLS_HANDSHAKES);
        for listener in &gauges.listeners {
            for (result, count) in &listener.handshakes {
                text.sample(&names::TLS_HANDSHAKES, &[&listener.listener, result], count);
            }
        }
        text.family(&names::PROXY_HEADERS);
        for listener in &gauges.listeners {
            for (result, count) in &listener.introductions {
                text.sample(&names::PROXY_HEADERS, &[&listener.listener, result], count);
            }
        }
        text.family(&names::TLS_CERTIFICATE_EXPIRES);
        for certificate in &gauges.certificates {
            let values = [&*certificate.listener, &*certificate.name];
            text.sample(&names::TLS_CERTIFICATE_EXPIRES, &values, certificate.expires);
        }
        text.family(&names::UPSTREAM_CERTIFICATE_EXPIRES);
        for (pool, name, expires) in &gauges.shown {
            let values = [pool.as_str(), name];
            text.sample(&names::UPSTREAM_CERTIFICATE_EXPIRES, &values, expires);
        }
        text.family(&names::CONFIG_REFUSED);
        text.sample(&names::CONFIG_REFUSED, &[], u8::from(gauges.config_refused));
        text.family(&names::CONFIG_INFO);
        text.sample(&names::CONFIG_INFO, &[&gauges.config_hash], 1);
        let own = text.finish(&self.exporter.render(gauges));
        self.carried.lock().add_to(own)
    }

    fn render_requests(&self, text: &mut Text) {
        text.family(&names::REQUESTS);
        for ((audience, pool, arm), meter) in self.exchanges.live() {
            // A 200 that was served is there from the start, but not where there can be none.
            let counts = meter.requests().filter(|it| it.2 > 0 || is_decided(&audience));
            for (status, outcome, count) in counts {
                let values =
                    [audience.as_str(), pool.as_str(), arm.name(), &status, outcome.name()];
                text.sample(&names::REQUESTS, &values, count);
            }
        }
    }

    fn render_answers(&self, text: &mut Text) {
        let mut answers = self.answers.live();
        answers.retain(|((audience, _), _)| is_decided(audience));
        text.family(&names::FIRST_BYTE);
        for ((audience, arm), meter) in &answers {
            let values = [audience.as_str(), arm.name()];
            text.histogram(&names::FIRST_BYTE, &values, &meter.first_byte.read());
        }
        text.family(&names::REQUEST_DURATION);
        for ((audience, arm), meter) in &answers {
            let values = [audience.as_str(), arm.name()];
            text.histogram(&names::REQUEST_DURATION, &values, &meter.duration.read());
        }
    }

    fn render_promises(&self, text: &mut Text) {
        text.family(&names::SLO_EVENTS);
        for ((audience, slo, arm), meter) in self.promises.live() {
            let read = meter.read();
            for (result, count) in [("good", read.good), ("bad", read.bad_events())] {
                let values = [audience.as_str(), &slo, arm.name(), result];
                text.sample(&names::SLO_EVENTS, &values, count);
            }
        }
    }

    fn render_places(&self, text: &mut Text) {
        let places = self.places.live();
        text.family(&names::QUEUE_WAIT);
        for ((audience, pool), meter) in places.iter().filter(|((it, _), _)| is_decided(it)) {
            let values = [audience.as_str(), pool.as_str()];
            text.histogram(&names::QUEUE_WAIT, &values, &meter.queue_wait.read());
        }
        text.family(&names::FAULTS);
        for ((audience, pool), meter) in &places {
            for (fault, count) in meter.faults() {
                let blame = fault.blame().name();
                let values = [audience.as_str(), pool.as_str(), fault.name(), blame];
                text.sample(&names::FAULTS, &values, count);
            }
        }
    }

    fn render_audiences(&self, text: &mut Text) {
        let audiences = self.audiences.live();
        text.family(&names::REQUESTS_IN_FLIGHT);
        for (audience, meter) in &audiences {
            text.sample(&names::REQUESTS_IN_FLIGHT, &[audience.as_str()], meter.in_flight());
        }
        text.family(&names::FIELDS_DROPPED);
        for (audience, meter) in &audiences {
            text.sample(&names::FIELDS_DROPPED, &[audience.as_str()], meter.fields_dropped());
        }
        text.family(&names::STICKY_COOKIES);
        for (audience, meter) in &audiences {
            let told = meter.visitors_told();
            if told > 0 {
                text.sample(&names::STICKY_COOKIES, &[audience.as_str()], told);
            }
        }
        text.family(&names::TUNNELS);
        for (audience, meter) in &audiences {
            text.sample(&names::TUNNELS, &[audience.as_str()], meter.tunnels());
        }
        text.family(&names::TUNNELS_CLOSED);
        for (audience, meter) in &audiences {
            for (reason, blame, count) in meter.tunnels_closed() {
                let values = [audience.as_str(), reason.name(), blame.name()];
                text.sample(&names::TUNNELS_CLOSED, &values, count);
            }
        }
    }

    fn render_identities(&self, text: &mut Text) {
        text.family(&names::IDENTITIES);
        for (source, meter) in self.identities.live() {
            for (result, count) in meter.read() {
                text.sample(&names::IDENTITIES, &[source.as_str(), result], count);
            }
        }
    }

    fn render_apps(&self, refused: &[(Name, f64)], text: &mut Text) {
        text.family(&names::APP_VERSIONS);
        for (audience, meter) in self.versions.live() {
            for (band, count) in meter.read() {
                text.sample(&names::APP_VERSIONS, &[audience.as_str(), band.name()], count);
            }
        }
        text.family(&names::APP_VERSIONS_REFUSED);
        for (audience, share) in refused {
            text.sample(&names::APP_VERSIONS_REFUSED, &[audience.as_str()], share);
        }
        text.family(&names::GRAPHQL_BODIES);
        for (result, count) in self.graphql.live().iter().flat_map(|((), meter)| meter.read()) {
            text.sample(&names::GRAPHQL_BODIES, &[result], count);
        }
        text.family(&names::INTERIM_ANSWERS);
        for interim in Interim::ALL {
            let count = self.interims.sum(interim as usize);
            text.sample(&names::INTERIM_ANSWERS, &[interim.name()], count);
        }
    }

    fn render_leases(&self, encrypted: &[Name], text: &mut Text) {
        text.family(&names::UPSTREAM);
        for ((pool, arm), meter) in self.pools.live() {
            let values = [pool.as_str(), arm.name()];
            text.histogram(&names::UPSTREAM, &values, &meter.upstream.read());
        }
        let leases = self.leases.live();
        text.family(&names::POOL_SLOT_SECONDS);
        let now = Instant::now();
        for (pool, meter) in &leases {
            text.sample(&names::POOL_SLOT_SECONDS, &[pool.as_str()], meter.slot_seconds(now));
        }
        text.family(&names::RETRIES);
        for (pool, meter) in &leases {
            for (reason, count) in meter.retries() {
                text.sample(&names::RETRIES, &[pool.as_str(), reason.name()], count);
            }
        }
        text.family(&names::RETRIES_REFUSED);
        for (pool, meter) in &leases {
            text.sample(&names::RETRIES_REFUSED, &[pool.as_str()], meter.retries_refused());
        }
        text.family(&names::UPSTREAM_TLS_HANDSHAKES);
        for (pool, meter) in &leases {
            // Where no TLS is spoken there is nothing to count.
            let encrypted = encrypted.contains(pool);
            let counts = meter.handshakes().into_iter().filter(|it| encrypted || it.1 > 0);
            for (result, count) in counts {
                text.sample(&names::UPSTREAM_TLS_HANDSHAKES, &[pool.as_str(), result], count);
            }
        }
        text.family(&names::ENDPOINT_EVENTS);
        for (pool, meter) in &leases {
            for (event, count) in meter.events() {
                text.sample(&names::ENDPOINT_EVENTS, &[pool.as_str(), event.name()], count);
            }
        }
    }
}

// === free functions ===

/// Whether it is an audience at all. What was refused before it had one never waits for a slot
/// and never has an answer of the monolith, so there is nothing to show but the refusals.
fn is_decided(audience: &Name) -> bool {
    audience.as_str() != NONE
}

fn render_standings(promises: &[PromiseGauges], text: &mut Text) {
    text.family(&names::SLO_OBJECTIVE);
    for it in promises {
        text.sample(&names::SLO_OBJECTIVE, &[it.audience.as_str(), &it.slo], it.target);
    }
    text.family(&names::SLO_BURN_RATE);
    for it in promises {
        for (window, burn) in &it.burn {
            text.sample(&names::SLO_BURN_RATE, &[it.audience.as_str(), &it.slo, window], burn);
        }
    }
    text.family(&names::SLO_BUDGET_LEFT);
    for (it, left) in promises.iter().filter_map(|it| Some((it, it.left?))) {
        text.sample(&names::SLO_BUDGET_LEFT, &[it.audience.as_str(), &it.slo], left);
    }
    text.family(&names::SLO_EXHAUSTION);
    for (it, seconds) in promises.iter().filter_map(|it| Some((it, it.exhausted_in?))) {
        text.sample(&names::SLO_EXHAUSTION, &[it.audience.as_str(), &it.slo], seconds);
    }
}

fn render_verbs(verbs: &[VerbGauges], text: &mut Text) {
    text.family(&names::VERBS_IN_FORCE);
    for verb in verbs {
        text.sample(&names::VERBS_IN_FORCE, &[&verb.verb, &verb.kind, &verb.target], 1);
    }
    text.family(&names::PAUSED_REQUESTS);
    for verb in verbs {
        if let Some(waiting) = verb.waiting {
            text.sample(&names::PAUSED_REQUESTS, &[&verb.kind, &verb.target], waiting);
        }
    }
}

fn render_database(gauges: &Gauges, text: &mut Text) {
    text.family(&names::DATABASE_CONNECTIONS);
    for (at, needed) in gauges.database.iter().flat_map(|(needs, _)| needs) {
        text.sample(&names::DATABASE_CONNECTIONS, &[at], needed);
    }
    text.family(&names::DATABASE_CONNECTIONS_MAX);
    if let Some((_, max)) = gauges.database {
        text.sample(&names::DATABASE_CONNECTIONS_MAX, &[], max);
    }
}

fn render_fallbacks(fallbacks: &[FallbackGauges], text: &mut Text) {
    text.family(&names::FALLBACKS);
    for it in fallbacks {
        for (result, count) in &it.counts {
            let values = [it.audience.as_str(), it.pool.as_str(), result];
            text.sample(&names::FALLBACKS, &values, count);
        }
    }
    text.family(&names::FALLBACK_IN_FLIGHT);
    for it in fallbacks {
        text.sample(&names::FALLBACK_IN_FLIGHT, &[it.audience.as_str(), it.pool.as_str()], it.here);
    }
}

fn render_buffers(buffers: &BufferGauges, text: &mut Text) {
    text.family(&names::BUFFER_BYTES);
    for (place, bytes) in [("memory", buffers.memory), ("disk", buffers.disk)] {
        text.sample(&names::BUFFER_BYTES, &[place], bytes);
    }
    text.family(&names::BUFFER_MEMORY_MAX);
    text.sample(&names::BUFFER_MEMORY_MAX, &[], buffers.memory_max);
    text.family(&names::BUFFER_SHORTAGES);
    for (what, count) in &buffers.shortages {
        text.sample(&names::BUFFER_SHORTAGES, &[what], count);
    }
}

fn render_issuers(issuers: &[IssuerGauges], text: &mut Text) {
    text.family(&names::JWKS_KEYS);
    for IssuerGauges { source, url, keys, .. } in issuers {
        text.sample(&names::JWKS_KEYS, &[source.as_str(), url], keys);
    }
    text.family(&names::JWKS_AGE);
    for IssuerGauges { source, url, age, .. } in issuers {
        if let Some(age) = age {
            text.sample(&names::JWKS_AGE, &[source.as_str(), url], age.as_secs());
        }
    }
    text.family(&names::JWKS_FETCHES);
    for IssuerGauges { source, url, fetches, .. } in issuers {
        for (result, count) in fetches {
            text.sample(&names::JWKS_FETCHES, &[source.as_str(), url, result], count);
        }
    }
}

fn render_names(all: &[NameGauges], text: &mut Text) {
    text.family(&names::DNS_ADDRESSES);
    for it in all {
        text.sample(&names::DNS_ADDRESSES, &[&it.name, it.source], it.addresses);
    }
    text.family(&names::DNS_FAILING_SECONDS);
    for it in all {
        let seconds = it.failing.as_secs_f64();
        text.sample(&names::DNS_FAILING_SECONDS, &[&it.name, it.source], seconds);
    }
    text.family(&names::DNS_LOOKUPS);
    for it in all {
        for (result, count) in it.look_ups {
            text.sample(&names::DNS_LOOKUPS, &[&it.name, it.source, result], count);
        }
    }
}

fn render_pools(pools: &[PoolGauges], text: &mut Text) {
    text.family(&names::POOL_ENDPOINTS);
    for pool in pools {
        for (state, count) in pool.endpoints.by_state() {
            text.sample(&names::POOL_ENDPOINTS, &[pool.name.as_str(), state], count);
        }
    }
    let gauges: [PoolGauge; 6] = [
        (&names::POOL_CAPACITY, |pool| pool.capacity),
        (&names::POOL_IN_FLIGHT, |pool| pool.in_flight),
        (&names::POOL_ORPHANS, |pool| pool.orphans),
        (&names::POOL_QUEUE_LENGTH, |pool| pool.queue_length),
        (&names::POOL_DEMAND, PoolGauges::demand),
        (&names::POOL_EVENT_STREAMS, |pool| pool.event_streams),
    ];
    for (family, read) in gauges {
        text.family(family);
        for pool in pools {
            text.sample(family, &[pool.name.as_str()], read(pool));
        }
    }
}
