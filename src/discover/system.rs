//! What `/etc/resolv.conf` says, see resolv.conf(5). What it says wrongly is passed over.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use crate::config;

const DNS_PORT: u16 = 53;
const SERVER_WAIT: Duration = Duration::from_secs(2);
const ATTEMPTS: u32 = 2;
const NDOTS: u32 = 1;

/// As glibc bounds them.
const SERVER_WAIT_MAX: u64 = 30;
const ATTEMPTS_MAX: u32 = 5;
const NDOTS_MAX: u32 = 15;
const SERVERS_MAX: usize = 8;
const SEARCH_MAX: usize = 32;

/// How name servers are asked: what was configured, and what the system says beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manner {
    pub(super) servers: Vec<SocketAddr>,
    pub(super) timeout: Duration,
    pub(super) attempts: u32,
    pub(super) search: Vec<String>,
    pub(super) ndots: u32,
}

// === impl Manner ===

impl Manner {
    /// What follows from what was `configured` and from the `system`'s file.
    pub(super) fn of(configured: &config::Resolver, system: &str) -> Self {
        let mut manner = Self::of_system(system);
        if !configured.servers.is_empty() {
            manner.servers.clone_from(&configured.servers);
        }
        if let Some(search) = &configured.search {
            manner.search.clone_from(search);
        }
        manner.timeout = configured.timeout.unwrap_or(manner.timeout);
        manner.attempts = configured.attempts.unwrap_or(manner.attempts);
        manner.ndots = configured.ndots.unwrap_or(manner.ndots);
        manner
    }

    fn of_system(text: &str) -> Self {
        let mut manner = Self {
            servers: Vec::new(),
            timeout: SERVER_WAIT,
            attempts: ATTEMPTS,
            search: Vec::new(),
            ndots: NDOTS,
        };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let server = words.next().and_then(|word| word.parse::<IpAddr>().ok());
                    manner.servers.extend(server.map(|ip| SocketAddr::new(ip, DNS_PORT)));
                }
                // The last one of them counts.
                Some("search" | "domain") => {
                    manner.search = words.take(SEARCH_MAX).map(str::to_ascii_lowercase).collect();
                }
                Some("options") => words.for_each(|word| manner.option(word)),
                Some(_) | None => {}
            }
        }
        manner.servers.truncate(SERVERS_MAX);
        if manner.servers.is_empty() {
            // As glibc has it.
            manner.servers.push((Ipv4Addr::LOCALHOST, DNS_PORT).into());
        }
        manner
    }

    fn option(&mut self, word: &str) {
        let Some((name, number)) = word.split_once(':') else { return };
        let Ok(number) = number.parse::<u32>() else { return };
        match name {
            "timeout" => {
                self.timeout = Duration::from_secs(u64::from(number).clamp(1, SERVER_WAIT_MAX));
            }
            "attempts" => self.attempts = number.clamp(1, ATTEMPTS_MAX),
            "ndots" => self.ndots = number.min(NDOTS_MAX),
            _ => {}
        }
    }

    /// What `name` may stand for, in the order in which it is asked for.
    pub(super) fn candidates(&self, name: &str) -> Vec<String> {
        if name.ends_with('.') {
            return vec![name.to_owned()];
        }
        let dots = name.bytes().filter(|byte| *byte == b'.').count();
        let as_it_stands = std::iter::once(format!("{name}."));
        let domains = self.search.iter().map(|domain| domain.trim_matches('.'));
        let appended =
            domains.filter(|domain| !domain.is_empty()).map(|domain| format!("{name}.{domain}."));
        if dots >= self.ndots as usize {
            as_it_stands.chain(appended).collect()
        } else {
            appended.chain(as_it_stands).collect()
        }
    }

    /// How long a whole look-up may take.
    pub(super) fn patience(&self) -> Duration {
        let all = self.timeout * self.attempts * self.servers.len() as u32;
        all.clamp(Duration::from_secs(5), Duration::from_secs(30))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = "# written by kubelet\n\
        search shop.svc.cluster.local svc.cluster.local cluster.local\n\
        nameserver 10.96.0.10\n\
        nameserver fe80::1%eth0\n\
        options ndots:5 edns0 timeout:1 attempts:9 trust-ad\n";

    #[test]
    fn a_file_as_kubernetes_writes_it_is_understood() {
        let manner = Manner::of(&config::Resolver::default(), POD);
        assert_eq!(manner.servers, ["10.96.0.10:53".parse().unwrap()]);
        assert_eq!((manner.ndots, manner.attempts), (5, ATTEMPTS_MAX));
        assert_eq!(manner.timeout, Duration::from_secs(1));
        let service = ["web.shop.svc.cluster.local.", "web.svc.cluster.local."];
        assert_eq!(manner.candidates("web")[..2], service);
        assert_eq!(manner.candidates("web").last().map(String::as_str), Some("web."));
        assert_eq!(manner.candidates("web.example.com.").len(), 1, "a dot at the end ends it");
        assert_eq!(manner.candidates("a.b.c.d.e.f")[0], "a.b.c.d.e.f.", "it has five dots");
    }

    #[test]
    fn what_is_configured_goes_before_what_the_system_says() {
        let configured = config::Resolver {
            servers: vec!["127.0.0.1:5353".parse().unwrap()],
            search: Some(Vec::new()),
            attempts: Some(1),
            ..config::Resolver::default()
        };
        let manner = Manner::of(&configured, POD);
        assert_eq!(manner.servers, configured.servers);
        assert_eq!((manner.attempts, manner.ndots), (1, 5));
        assert_eq!(manner.candidates("web"), ["web."]);
    }

    #[test]
    fn without_a_file_the_machine_itself_is_asked() {
        let manner =
            Manner::of(&config::Resolver::default(), "nonsense\nnameserver\noptions ndots");
        assert_eq!(manner.servers, ["127.0.0.1:53".parse().unwrap()]);
        assert_eq!(manner.candidates("web"), ["web."]);
    }
}
