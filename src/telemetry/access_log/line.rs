//! A line of the access log.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::{Duration, SystemTime},
};

use serde::{Serialize, Serializer};

use crate::{
    fault::{Blame, Fault, Outcome},
    peer::Client,
    peer::Protocol,
};

macro_rules! line {
    ($($(#[$meta:meta])* $field:ident: $kind:ty,)+) => {
        /// What is written about one request, or about the end of a tunnel. What is not known is
        /// `null`. The fields are written in the order in which they stand here.
        #[derive(Clone, Debug, Serialize)]
        pub struct Line<'a> {
            $($(#[$meta])* pub $field: $kind,)+
            /// Why the tunnel ended; only in the second line of a request that became one.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub tunnel: Option<&'a str>,
            /// How long an operator's pause held it back; only where one did.
            #[serde(skip_serializing_if = "Option::is_none", serialize_with = "milliseconds")]
            pub paused_ms: Option<Duration>,
            /// What a GraphQL request asked for; only where a rule wants to know that.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub operation: Option<&'a str>,
            /// The pool that took it because its audience's own could not; only where one did.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub fallback: Option<&'a str>,
            /// The version of the app that asked; only where its audience wants to know.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub app_version: Option<&'a str>,
        }

        /// The fields that every line has, in their order.
        pub const FIELDS: &[&str] = &[$(stringify!($field)),+];
    };
}

line! {
    /// When the request or the tunnel ended.
    #[serde(serialize_with = "time")]
    time: SystemTime,
    /// What `X-Request-Id` said.
    request_id: Option<&'a str>,
    /// The trace out of `traceparent`.
    trace_id: Option<&'a str>,
    /// Who asked, after trusted proxies have been believed.
    client: Client,
    /// What the client spoke.
    #[serde(serialize_with = "protocol")]
    proto: Option<Protocol>,
    /// The version of TLS that the client spoke.
    tls: Option<&'a str>,
    /// The request's method.
    method: Option<&'a str>,
    /// The request's host as it was sent.
    host: Option<&'a str>,
    /// The target's path as it was sent, without the query.
    path: Option<&'a str>,
    /// The status of the answer; 499 for a client that left before there was one.
    status: Option<u16>,
    /// How the request ended; none in the second line of a tunnel.
    #[serde(serialize_with = "outcome")]
    outcome: Option<Outcome>,
    /// Who the request was for.
    audience: &'a str,
    /// The rule that said so.
    rule: Option<&'a str>,
    /// The pool that it went to.
    pool: &'a str,
    /// What it was given during a rollout.
    arm: Option<&'a str>,
    /// The endpoint of the last attempt.
    endpoint: Option<&'a str>,
    /// How often it was sent to an endpoint.
    attempts: u32,
    /// Bytes of the request's body; in a tunnel, bytes from the client.
    bytes_in: u64,
    /// Bytes of the answer's body; in a tunnel, bytes to the client.
    bytes_out: u64,
    /// Why the monolith did not serve it as asked.
    #[serde(serialize_with = "fault")]
    fault: Option<Fault>,
    /// Whose doing the fault, or the end of the tunnel, was.
    #[serde(serialize_with = "blame")]
    blame: Option<Blame>,
    /// Time spent waiting for a slot.
    #[serde(serialize_with = "milliseconds")]
    queue_ms: Option<Duration>,
    /// Time spent connecting to endpoints.
    #[serde(serialize_with = "milliseconds")]
    connect_ms: Option<Duration>,
    /// Request read whole to the answer's head.
    #[serde(serialize_with = "milliseconds")]
    first_byte_ms: Option<Duration>,
    /// Time that the request held slots, over all attempts.
    #[serde(serialize_with = "milliseconds")]
    upstream_ms: Option<Duration>,
    /// Head read to the end; in a tunnel, from the upgrade to the end.
    #[serde(serialize_with = "milliseconds")]
    total_ms: Option<Duration>,
}

// === impl Line ===

impl Line<'_> {
    /// Puts the line and its end behind what `buffer` holds. False when it cannot be written,
    /// which leaves a part of it.
    pub(super) fn write_to(&self, buffer: &mut Vec<u8>) -> bool {
        let written = serde_json::to_writer(&mut *buffer, self).is_ok();
        buffer.push(b'\n');
        written
    }
}

impl Default for Line<'_> {
    /// A line about which nothing is known.
    fn default() -> Self {
        Self {
            time: SystemTime::UNIX_EPOCH,
            request_id: None,
            trace_id: None,
            client: Client::Ip(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            proto: None,
            tls: None,
            method: None,
            host: None,
            path: None,
            status: None,
            outcome: None,
            audience: crate::name::NONE,
            rule: None,
            pool: crate::name::NONE,
            arm: None,
            endpoint: None,
            attempts: 0,
            bytes_in: 0,
            bytes_out: 0,
            fault: None,
            blame: None,
            queue_ms: None,
            connect_ms: None,
            first_byte_ms: None,
            upstream_ms: None,
            total_ms: None,
            tunnel: None,
            paused_ms: None,
            operation: None,
            fallback: None,
            app_version: None,
        }
    }
}

// === free functions ===

fn time<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    // A clock outside the years that can be written is taken for the epoch.
    let time = jiff::Timestamp::try_from(*time).unwrap_or_default();
    serializer.collect_str(&format_args!("{time:.3}"))
}

/// With the microseconds behind the point.
fn milliseconds<S: Serializer>(value: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    let milliseconds = value.map(|value| value.as_micros() as f64 / 1e3);
    milliseconds.serialize(serializer)
}

fn protocol<S: Serializer>(value: &Option<Protocol>, serializer: S) -> Result<S::Ok, S::Error> {
    value.map(Protocol::name).serialize(serializer)
}

fn outcome<S: Serializer>(value: &Option<Outcome>, serializer: S) -> Result<S::Ok, S::Error> {
    value.map(Outcome::name).serialize(serializer)
}

fn fault<S: Serializer>(value: &Option<Fault>, serializer: S) -> Result<S::Ok, S::Error> {
    value.map(Fault::name).serialize(serializer)
}

fn blame<S: Serializer>(value: &Option<Blame>, serializer: S) -> Result<S::Ok, S::Error> {
    value.map(Blame::name).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(line: &Line<'_>) -> String {
        let mut buffer = Vec::new();
        assert!(line.write_to(&mut buffer));
        String::from_utf8(buffer).expect("JSON is UTF-8")
    }

    #[test]
    fn a_line_says_everything_in_its_order() {
        let line = Line {
            time: SystemTime::UNIX_EPOCH + Duration::from_micros(1_795_452_286_007_900),
            request_id: Some("01J9"),
            trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736"),
            client: Client::Ip([203, 0, 113, 7].into()),
            proto: Some(Protocol::Http11),
            tls: None,
            method: Some("POST"),
            host: Some("shop.example"),
            path: Some("/api/driver/position"),
            status: Some(504),
            outcome: Some(Outcome::Failed),
            audience: "driver",
            rule: Some("path /api/driver/**"),
            pool: "driver",
            arm: Some("stable"),
            endpoint: Some("127.0.0.1:3010"),
            attempts: 1,
            bytes_in: 42,
            bytes_out: 187,
            fault: Some(Fault::FirstByteTimeout),
            blame: Some(Blame::Upstream),
            queue_ms: Some(Duration::ZERO),
            connect_ms: Some(Duration::from_micros(312)),
            first_byte_ms: None,
            upstream_ms: Some(Duration::from_millis(15_000)),
            total_ms: Some(Duration::from_nanos(15_000_412_999)),
            tunnel: None,
            paused_ms: None,
            operation: None,
            fallback: None,
            app_version: None,
        };
        assert_eq!(
            written(&line),
            concat!(
                r#"{"time":"2026-11-23T16:44:46.007Z","request_id":"01J9","#,
                r#""trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","client":"203.0.113.7","#,
                r#""proto":"HTTP/1.1","tls":null,"method":"POST","host":"shop.example","#,
                r#""path":"/api/driver/position","status":504,"outcome":"failed","#,
                r#""audience":"driver","rule":"path /api/driver/**","pool":"driver","#,
                r#""arm":"stable","endpoint":"127.0.0.1:3010","attempts":1,"bytes_in":42,"#,
                r#""bytes_out":187,"fault":"first_byte_timeout","blame":"upstream","#,
                r#""queue_ms":0.0,"connect_ms":0.312,"first_byte_ms":null,"#,
                r#""upstream_ms":15000.0,"total_ms":15000.412}"#,
                "\n"
            )
        );
    }

    #[test]
    fn what_a_client_sends_stays_within_its_line_and_its_string() {
        let path = "/a\"b\\c\n{\"status\":200}\r\u{0}\u{7f}\u{2028}é";
        let text = written(&Line { path: Some(path), ..Line::default() });
        assert_eq!(text.matches('\n').count(), 1);
        let read: serde_json::Value = serde_json::from_str(&text).expect("one JSON object");
        assert_eq!(read["path"], path);
        assert!(read["status"].is_null());
    }

    #[test]
    fn only_the_end_of_a_tunnel_says_why_it_ended() {
        let keys = |line: &Line<'_>| {
            let fields = written(line);
            let mut places: Vec<(usize, &str)> = FIELDS
                .iter()
                .chain(&["tunnel"])
                .filter_map(|field| Some((fields.find(&format!("\"{field}\":"))?, *field)))
                .collect();
            places.sort_unstable();
            places.into_iter().map(|(_, field)| field).collect::<Vec<_>>()
        };
        assert_eq!(keys(&Line::default()), FIELDS);
        let tunnel = keys(&Line { tunnel: Some("closed"), ..Line::default() });
        assert_eq!(tunnel.last(), Some(&"tunnel"));
        assert_eq!(tunnel[..FIELDS.len()], *FIELDS);
    }
}
