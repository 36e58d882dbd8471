//! The demo's configuration, written in the language that every usher reads.

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use super::cast::CAST;

/// Where the demo is reached when these are free: by clients, by operators and by Prometheus.
pub const PORTS: [u16; 3] = [8080, 9900, 9901];

/// Where it listens. Operators are served on loopback alone: elsewhere they would need a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doors {
    /// For clients.
    pub clients: SocketAddr,
    /// For operators.
    pub control: SocketAddr,
    /// For Prometheus.
    pub metrics: SocketAddr,
}

/// The configuration with `doors`, in front of `endpoints`, which are one list for each part.
pub fn script(doors: Doors, endpoints: &[Vec<SocketAddr>]) -> String {
    let mut text = format!(
        "listeners: [{{ bind: \"{}\" }}]\ncontrol: {{ bind: \"{}\" }}\n\
         metrics: {{ bind: \"{}\" }}\naccess_log: off\n\
         drain: {{ grace: 0s, requests: 2s, tunnels: 2s }}\n\naudiences:\n",
        doors.clients, doors.control, doors.metrics
    );
    for part in &CAST {
        // A String takes whatever is written to it.
        let _ = writeln!(text, "  - name: {}\n    {}", part.name, part.written);
        let _ = writeln!(text, "    pool: {}", part.name);
    }
    text.push_str("\npools:\n");
    for (part, endpoints) in CAST.iter().zip(endpoints) {
        let endpoints: Vec<String> = endpoints.iter().map(|it| format!("\"{it}\"")).collect();
        let (name, list) = (part.name, endpoints.join(", "));
        let _ = writeln!(text, "  {name}: {{ endpoints: [{list}], capacity: {} }}", part.threads);
    }
    text
}

/// Endpoints as somebody may have them, for a configuration to start from.
pub fn imagined_endpoints() -> Vec<Vec<SocketAddr>> {
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let first = [3030, 3010, 3020, 3000];
    let list =
        |(part, first): (&super::cast::Part, u16)| (first..).take(part.endpoints).map(at).collect();
    CAST.iter().zip(first).map(list).collect()
}

// === impl Doors ===

impl Doors {
    /// The usual ports, at `bind`.
    pub fn usual(bind: IpAddr) -> Self {
        let [clients, control, metrics] = PORTS;
        let inside = if bind.is_loopback() { bind } else { Ipv4Addr::LOCALHOST.into() };
        Self {
            clients: (bind, clients).into(),
            control: (inside, control).into(),
            metrics: (bind, metrics).into(),
        }
    }

    /// The same, with any free port instead of `taken`. None when it is none of them.
    pub fn without(mut self, taken: SocketAddr) -> Option<Self> {
        let doors = [&mut self.clients, &mut self.control, &mut self.metrics];
        let door = doors.into_iter().find(|door| **door == taken && door.port() != 0);
        door?.set_port(0);
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, LoadOptions};

    #[test]
    fn it_is_a_configuration_without_an_error() {
        let text = script(Doors::usual(Ipv4Addr::LOCALHOST.into()), &imagined_endpoints());
        let (config, warnings) = config::parse_text("demo", &text, &LoadOptions::default())
            .unwrap_or_else(|problems| panic!("{problems}\n{text}"));
        for warning in warnings.iter().map(config::Problem::headline) {
            assert!(warning.contains("only a header guards this"), "{warning}");
        }
        let names: Vec<_> = config.audiences.iter().map(|it| it.name.to_string()).collect();
        assert_eq!(names, CAST.each_ref().map(|part| part.name));
        assert!(config.audiences.iter().all(|audience| audience.objectives.len() == 1));
    }

    #[test]
    fn a_port_that_is_taken_is_replaced_by_any_and_the_others_stay() {
        let usual = Doors::usual(Ipv4Addr::LOCALHOST.into());
        let doors = usual.without(usual.control).expect("it is one of them");
        assert_eq!(doors.control.port(), 0);
        assert_eq!((doors.clients, doors.metrics), (usual.clients, usual.metrics));
        assert_eq!(doors.without(doors.control), None, "there was no free port at all");
        assert_eq!(doors.without(SocketAddr::from(([127, 0, 0, 1], 1))), None);
    }

    #[test]
    fn operators_are_served_on_loopback_alone() {
        let doors = Doors::usual(Ipv4Addr::UNSPECIFIED.into());
        assert!(doors.control.ip().is_loopback());
        assert!(doors.clients.ip().is_unspecified());
    }
}
