//! HTTP/2 as clients of the world speak it: curl, nghttp and h2load, in plain text and over TLS,
//! and a WebSocket over it to a real library. `tests/run` installs them.
//!
//! Transport: HTTP/2, in plain text and over TLS.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

#[path = "support/mod.rs"]
mod support;

use support::{
    authority::Authority,
    origin::{Origin, ok},
    usher::{Samples, Usher},
};

const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/python/bin/python");
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");

/// What a site speaks HTTP/2 on.
const BOTH: [&str; 2] = ["http", "https"];

/// usher that speaks HTTP/2, in plain text or over TLS, in front of an origin.
struct Site {
    usher: Usher,
    /// The beginning of a URL.
    address: String,
    _certificates: tempfile::TempDir,
}

// === impl Site ===

impl Site {
    async fn start(scheme: &str) -> Self {
        let origin = Origin::start().await;
        let site = Self::before(&origin.endpoint(), scheme).await;
        origin.serve(|asked| {
            let proto = asked.field("x-forwarded-proto").expect("a proto");
            match asked.target() {
                "/large" => ok(&"x".repeat(3_000_000)),
                "/length" => ok(&asked.body.len().to_string()),
                target => ok(&format!("{target} by {proto}")),
            }
        });
        site
    }

    async fn before(endpoint: &str, scheme: &str) -> Self {
        let certificates = tempfile::tempdir().expect("a directory");
        Authority::new("clients").issue(&["localhost"]).write(certificates.path(), "site");
        let folder = certificates.path().display();
        let listener = match scheme {
            "http" => "h2c: on".to_owned(),
            _ => format!(
                "tls: {{ certificates: [{{ cert: {folder}/site.crt, key: {folder}/site.key }}], \
                 hosts: any }}"
            ),
        };
        let text = format!(
            "listeners: [{{ bind: 127.0.0.1:0, {listener} }}]\n\
             control: off\nmetrics: off\naccess_log: off\n\
             drain: {{ grace: 0s, requests: 5s, tunnels: 5s }}\n\
             audiences: [{{ name: everyone, pool: rails }}]\n\
             pools: {{ rails: {{ endpoints: [{endpoint}], capacity: 100 }} }}\n"
        );
        let usher = Usher::start(&text).await;
        let address = format!("{scheme}://{}", usher.address());
        Self { usher, address, _certificates: certificates }
    }

    async fn stop(self) -> Samples {
        // The program has gone; usher hears of it in a moment.
        let open = format!("usher_connections{{listener=\"{}\"}}", self.usher.address());
        self.usher.reaches(&open, 0.0).await;
        self.usher.stop().await
    }
}

/// What `program` says, which has to end well.
async fn said(program: &'static str, arguments: Vec<String>) -> String {
    #[expect(clippy::disallowed_methods, reason = "the program runs while usher's test waits")]
    let run = tokio::task::spawn_blocking(move || {
        Command::new(program).args(arguments).output().expect("tests/run has installed it")
    });
    let output = run.await.expect("no panic");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {}\n{said}\n{errors}", output.status);
    said
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

#[tokio::test]
async fn curl_speaks_http2_in_plain_text_and_over_tls() {
    for scheme in BOTH {
        let site = Site::start(scheme).await;
        let address = &site.address;
        let http2 = if scheme == "http" { "--http2-prior-knowledge" } else { "--http2" };
        for (how, version) in [(http2, "2"), ("--http1.1", "1.1")] {
            let told = format!("-sSk --max-time 20 -w \\n%{{http_version}} {how}");
            let small = said("curl", words(&format!("{told} {address}/small"))).await;
            assert_eq!(small, format!("/small by {scheme}\n{version}"));
            let large = said("curl", words(&format!("{told} {address}/large"))).await;
            assert_eq!(large.len(), 3_000_000 + 1 + version.len());
            let file = tempfile::NamedTempFile::new().expect("a file");
            std::fs::write(file.path(), vec![b'x'; 2_000_000]).expect("it can be written");
            let body = file.path().display();
            let sent = format!("{told} --data-binary @{body} {address}/length");
            assert_eq!(said("curl", words(&sent)).await, format!("2000000\n{version}"));
        }
        let samples = site.stop().await;
        assert_eq!(samples.sum("usher_requests_total", &["\"served\""]), 6.0);
    }
}

#[tokio::test]
async fn nghttp_and_h2load_find_nothing_wrong() {
    for scheme in BOTH {
        let site = Site::start(scheme).await;
        let address = &site.address;
        let many = format!("-nas {address}/a {address}/b {address}/large");
        let table = said("nghttp", words(&many)).await;
        assert_eq!(table.matches(" 200 ").count(), 3, "{table}");
        let load = said("h2load", words(&format!("-n 2000 -c 4 -m 25 {address}/small"))).await;
        assert!(load.contains("2000 succeeded, 0 failed, 0 errored, 0 timeout"), "{load}");
        let large = said("h2load", words(&format!("-n 40 -c 2 -m 10 {address}/large"))).await;
        assert!(large.contains("40 succeeded, 0 failed, 0 errored, 0 timeout"), "{large}");
        let samples = site.stop().await;
        assert_eq!(samples.sum("usher_requests_total", &["\"served\""]), 2043.0);
        let ended = samples.sum("usher_http2_connections_closed_total", &[]);
        let closed = samples.sum("usher_http2_connections_closed_total", &["\"closed\""]);
        assert_eq!((ended, closed), (7.0, 7.0));
    }
}

/// A process that is killed when the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn websockets_over_http2_reach_a_library_that_knows_those_of_http1() {
    for scheme in BOTH {
        a_websocket(scheme).await;
    }
}

async fn a_websocket(scheme: &str) {
    let mut echo = Command::new(PYTHON)
        .arg(format!("{SCRIPTS}/websocket/origin.py"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("tests/run has made target/python");
    let mut port = String::new();
    let stdout = echo.stdout.take().expect("a pipe");
    BufReader::new(stdout).read_line(&mut port).expect("the origin says its port");
    let echo = Running(echo);
    let site = Site::before(&format!("127.0.0.1:{}", port.trim()), scheme).await;
    let client = format!("{SCRIPTS}/http2_clients/websocket.py");
    let told = said(PYTHON, vec![client, site.address.clone()]).await;
    assert_eq!(told, "echoed 0 1 125 126 65535 65536 1000000\nclosed 1000\n");
    drop(echo);
    let samples = site.stop().await;
    assert_eq!(samples.sum("usher_tunnels_closed_total", &["\"closed\""]), 1.0);
}
