//! The command against a control port.

use std::{io::Write as _, net::TcpListener, pin::Pin, sync::Arc, time::Duration};

use clap::Parser;
use serde_json::{Value, json};

use super::*;
use crate::classify::Version;
use crate::cli::client::{Answer, CONTROL};
use crate::control::{
    Audit, By, GateOrder, GateView, Guard, Keys, Order, Ordered, OrderedView, Readiness,
    ReloadView, RequestsView, Sight, SloView, UpgradeView, VersionsView, serve_control,
};
use crate::edge::{Connected, Listener, Listening};

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    status: StatusArgs,
}

struct Stand;

impl Sight for Stand {
    fn versions(
        &self,
        _audience: Option<&str>,
        _if_min: Option<Version>,
    ) -> Result<VersionsView, String> {
        Ok(VersionsView::default())
    }

    fn gate(&self, _audiences: &[&str], _class: &str) -> Result<GateView, String> {
        Ok(GateView { verdict: "unknown".into(), ..GateView::default() })
    }

    fn tell_gate(&self, _order: &GateOrder, _by: &By) -> Result<GateView, String> {
        Ok(GateView::default())
    }

    fn promises(&self) -> SloView {
        SloView::default()
    }

    fn reload(self: Arc<Self>, _: By) -> Pin<Box<dyn Future<Output = ReloadView> + Send>> {
        Box::pin(async { ReloadView::default() })
    }

    fn status(&self) -> StatusView {
        StatusView { version: "0.1.0".into(), ..StatusView::default() }
    }

    fn config(&self) -> Value {
        json!({})
    }

    fn metrics(&self) -> String {
        String::new()
    }

    fn requests(&self, request_id: &str) -> Result<RequestsView, String> {
        match request_id {
            "known" => Ok(RequestsView::default()),
            _ => Err("how far back".into()),
        }
    }

    fn upgrade(
        self: Arc<Self>,
        _: By,
        _: Option<Duration>,
    ) -> Pin<Box<dyn Future<Output = UpgradeView> + Send>> {
        Box::pin(async { UpgradeView::default() })
    }

    fn order(self: Arc<Self>, _: Order, _: By) -> Pin<Box<dyn Future<Output = Ordered> + Send>> {
        Box::pin(async { Ok(OrderedView { result: "done".into(), ..OrderedView::default() }) })
    }

    fn readiness(&self) -> Readiness {
        Readiness::Ready
    }
}

/// A control port that asks for no token.
fn control() -> String {
    let guard =
        Guard { keys: Keys::new(None, &[]), audit: Audit::open(None).expect("there is no file") };
    port(|listener| {
        let closing = tokio::sync::watch::channel(false).1;
        serve_control(listener, Arc::new(Stand), Arc::new(guard), closing)
    })
}

/// What the port at `address` answers.
fn get(address: &str, path: &str) -> anyhow::Result<String> {
    let way = args(&["--control", address]).port.find().expect("an address was given");
    way.get(path).and_then(Answer::into_done)
}

/// A port on which `serve` runs until the test's process ends.
fn port<F>(serve: impl FnOnce(Listener) -> F + Send + 'static) -> String
where
    F: Future<Output = ()>,
{
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    listener.set_nonblocking(true).expect("it can be told");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let listener = Listening::from(socket2::Socket::from(listener)).watch();
            serve(listener.expect("a listener")).await;
        });
    });
    format!("localhost:{port}")
}

fn args(line: &[&str]) -> StatusArgs {
    Line::try_parse_from(["status"].iter().chain(line)).expect("it parses").status
}

#[test]
fn a_control_port_is_read_even_by_a_name() {
    let address = control();
    let body = get(&address, "/api/v1/status").expect("it answers");
    let view: StatusView = serde_json::from_str(&body).expect("a status");
    assert_eq!(view, Stand.status());
}

#[test]
fn a_refusal_is_told_with_its_reason() {
    let address = control();
    let error = get(&address, "/api/v9").expect_err("there is no such path");
    let told = format!("{error:#}");
    assert!(told.ends_with("answers 404 Not Found: There is nothing at this path."), "{told}");
}

#[test]
fn where_nobody_listens_one_is_asked_whether_usher_runs() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    drop(listener);
    let error = get(&address, "/api/v1/status").expect_err("nobody listens");
    let told = format!("{error:#}");
    assert!(
        told.starts_with(&format!("cannot connect to {address}: Connection refused")),
        "{told}"
    );
    assert!(told.contains("is usher running?"), "{told}");
}

#[test]
fn what_is_no_usher_is_said_to_be_none() {
    let address = port(|listener| async move {
        loop {
            let Ok(Connected::Tcp(mut stream, _)) = listener.accept().await else { return };
            let _ = stream.write_all(b"220 mail.example ESMTP\r\n");
        }
    });
    let error = get(&address, "/api/v1/status").expect_err("it is no usher");
    assert!(format!("{error:#}").contains("does not answer as usher does"), "{error:#}");
}

#[test]
fn the_address_is_the_one_asked_for_then_the_configurations() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("it can be written");
        path.display().to_string()
    };
    let address = |arguments: &[&str]| args(arguments).port.address().ok();
    let bound = file("bound.yaml", "control: { bind: 127.0.0.1:7000 }\nwrong: [");
    assert_eq!(address(&["--control", "a:1", "--config", &bound]), Some(Some("a:1".into())));
    let bound = file("wrong.yaml", "control: { bind: 127.0.0.1:7000 }\nunknown: key\n");
    assert_eq!(address(&["--config", &bound]), Some(Some("127.0.0.1:7000".into())));
    let silent = file("silent.yaml", "pools: {}\n");
    assert_eq!(address(&["--config", &silent]), Some(Some(CONTROL.into())));
    let off = file("off.yaml", "control: off\n");
    assert_eq!(address(&["--config", &off]), Some(None));
    assert_eq!(address(&["--config", "/nonexistent/usher.yaml"]), None);
}
