//! How a request and a tunnel are written down.

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use http::{Method, Uri};

use super::{asked::Asked, versions::App, worker::Worker};
use crate::{
    fault::Blame,
    meters::{Arm, TunnelEnd},
    name::NONE,
    snapshot::{Decision, View},
    telemetry::{Line, trace_id},
    upstream::Endpoint,
};

/// What is written down about a request whatever becomes of it.
pub struct Record<'a> {
    /// What was asked.
    pub asked: &'a Asked,
    /// The snapshot that decided.
    pub view: &'a View,
    /// What it decided.
    pub decision: Decision,
    /// The endpoint that was asked last.
    pub endpoint: Option<&'a Endpoint>,
}

/// Fields that need not be text, as text.
pub struct Texts {
    host: Option<String>,
    app_version: Option<String>,
}

/// A tunnel's own record, which outlives the exchange that it began with.
pub struct TunnelRecord {
    worker: Arc<Worker>,
    view: Arc<View>,
    decision: Decision,
    asked: Asked,
    endpoint: Option<Arc<Endpoint>>,
    opened: Option<Instant>,
}

// === impl Record ===

impl Record<'_> {
    /// The fields that have to be made.
    pub fn texts(&self) -> Texts {
        let host = self.asked.host.as_ref();
        Texts {
            host: host.map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned()),
            app_version: self.asked.app.as_ref().map(App::told),
        }
    }

    /// A line with what was asked and decided, and nothing of what came of it.
    pub fn line<'a>(&'a self, texts: &'a Texts) -> Line<'a> {
        let audience = self.view.audience(self.decision.audience);
        let label = self.decision.rule.and_then(|rule| audience.labels.get(rule));
        let trace = self.asked.trace_parent.as_ref().and_then(|trace| trace.to_str().ok());
        Line {
            time: SystemTime::now(),
            request_id: Some(self.asked.request_id.as_str()),
            trace_id: trace.and_then(trace_id),
            client: self.asked.client,
            proto: Some(self.asked.protocol),
            tls: self.asked.peer.tls.as_ref().map(|tls| tls.version.name()),
            method: self.asked.method.as_ref().map(Method::as_str),
            host: texts.host.as_deref(),
            path: self.asked.target.as_ref().map(Uri::path),
            audience: audience.name.as_str(),
            rule: label.map(|label| &**label),
            pool: audience.pool.map_or(NONE, |pool| self.view.pool(pool).name.as_str()),
            operation: self.asked.operation.as_ref().and_then(|operation| operation.shown()),
            arm: Some(Arm::Stable.name()),
            endpoint: self.endpoint.map(Endpoint::as_str),
            app_version: texts.app_version.as_deref(),
            ..Line::default()
        }
    }
}

// === impl TunnelRecord ===

impl TunnelRecord {
    /// A record of the tunnel that a request becomes.
    pub fn new(
        worker: Arc<Worker>,
        view: Arc<View>,
        decision: Decision,
        asked: Asked,
        endpoint: Option<Arc<Endpoint>>,
    ) -> Self {
        Self { worker, view, decision, asked, endpoint, opened: None }
    }

    /// The tunnel is open.
    pub fn opened(&mut self) {
        self.opened = Some(Instant::now());
        let audience = self.view.audience(self.decision.audience);
        audience.meter.tunnel_opened(self.worker.index);
    }

    /// The tunnel has ended.
    pub fn closed(&mut self, end: TunnelEnd, blame: Blame, bytes_in: u64, bytes_out: u64) {
        let Some(opened) = self.opened.take() else { return };
        let audience = self.view.audience(self.decision.audience);
        audience.meter.tunnel_closed(self.worker.index, end, blame);
        if !self.worker.common.log.is_on() {
            return;
        }
        let record = Record {
            asked: &self.asked,
            view: &self.view,
            decision: self.decision,
            endpoint: self.endpoint.as_deref(),
        };
        let texts = record.texts();
        let line = Line {
            bytes_in,
            bytes_out,
            blame: Some(blame),
            total_ms: Some(opened.elapsed()),
            tunnel: Some(end.name()),
            ..record.line(&texts)
        };
        self.worker.common.log.write(self.worker.index, &line);
    }
}

impl Drop for TunnelRecord {
    fn drop(&mut self) {
        // Its owner was dropped with the tunnel still open: usher is stopping.
        self.closed(TunnelEnd::Cut, Blame::Usher, 0, 0);
    }
}
