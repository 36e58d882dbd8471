//! Others of the same machine: nginx in front of a Unix socket as `docs/edge.md` sets it up, curl,
//! and the operator's commands.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::{
    run,
    support::{
        origin::{Origin, ok},
        usher::Usher,
    },
};

const BOOK: &str = include_str!("../../docs/edge.md");

/// An nginx. Dropping it kills it.
struct Nginx(Child);

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// usher at `at/usher.sock`, operated at `at/control.sock`; the monolith says whom it sees.
async fn started(at: &Path) -> Usher {
    let origin = Origin::start().await;
    let text = format!(
        "listeners: [{{ bind: unix:{at}/usher.sock }}]\n\
         control: {{ bind: unix:{at}/control.sock }}\nmetrics: off\n\
         access_log: off\nworkers: 1\ntrusted_proxies: [unix]\n\
         drain: {{ grace: 0s, requests: 5s, tunnels: 5s }}\n\
         audiences: [{{ name: everyone, pool: rails }}]\n\
         pools: {{ rails: {{ endpoints: [{}], capacity: 5 }} }}\n",
        origin.endpoint(),
        at = at.display(),
    );
    origin.serve(|asked| {
        let field = |name| asked.field(name).unwrap_or("none").to_owned();
        ok(&["x-forwarded-for", "x-forwarded-proto", "host"].map(field).join(" "))
    });
    Usher::start(&text).await
}

/// nginx at `at/front.sock`, with what the book says and nothing more than it takes to run it.
fn nginx(at: &Path) -> Nginx {
    let (_, from) = BOOK.split_once("```nginx\nupstream usher").expect("a block for nginx");
    let (block, _) = from.split_once("```").expect("its end");
    let block = format!("upstream usher{block}")
        .replace("/run/usher/usher.sock", &at.join("usher.sock").display().to_string())
        .replace("server {\n", &format!("server {{\n listen unix:{}/front.sock;\n", at.display()));
    let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let places = kinds.map(|kind| format!("{kind}_temp_path {}/{kind};\n", at.display())).concat();
    let config = at.join("nginx.conf");
    let text = format!(
        "daemon off; master_process off; pid {at}/nginx.pid; error_log stderr;\n\
         events {{}}\nhttp {{ access_log off;\n{places}{block}}}\n",
        at = at.display()
    );
    fs::write(&config, text).expect("it can be written");
    let mut command = Command::new("/usr/sbin/nginx");
    command.arg("-p").arg(at).arg("-c").arg(&config).stdin(Stdio::null());
    Nginx(command.spawn().expect("tests/run has installed it"))
}

/// What curl is answered at the socket `name` of `at`.
async fn curl(at: &TempDir, name: &str, options: &[&str]) -> String {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--max-time", "20"]).args(options);
    curl.arg("--unix-socket").arg(at.path().join(name)).arg("http://shop.example/");
    // What it says of tries that failed goes to standard error.
    String::from_utf8_lossy(&run(curl, "").await.0.stdout).into_owned()
}

#[tokio::test]
async fn curl_and_nginx_come_by_a_unix_socket_and_the_operator_by_another() {
    let at = tempfile::tempdir().expect("a temporary directory can be made");
    let usher = started(at.path()).await;
    let told = curl(&at, "usher.sock", &["--header", "X-Forwarded-For: 203.0.113.7"]).await;
    assert_eq!(told, "203.0.113.7 http shop.example");

    let _nginx = nginx(at.path());
    // It retries while nginx has not bound its socket yet.
    let patient = ["--retry", "40", "--retry-all-errors", "--retry-delay", "1"];
    let told = curl(&at, "front.sock", &patient).await;
    // nginx has no address for its own client at a Unix socket, and says `unix:`.
    assert!(told.ends_with("unix: http shop.example"), "{told}");

    let control = format!("unix:{}", at.path().join("control.sock").display());
    let mut status = Command::new(env!("CARGO_BIN_EXE_usher"));
    status.args(["status", "--format", "json", "--control", &control]);
    let (output, said) = run(status, "").await;
    assert!(output.status.success(), "{said}");
    let view: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(view["audiences"][0]["name"], "everyone");
    usher.stop().await;
}
