//! What usher says, and does, where the system does not let it: it runs as somebody who may little.

use std::{
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use rustix::process::geteuid;
use tempfile::TempDir;

use crate::support::{
    authority::Authority,
    binary::Binary,
    client::Client,
    origin::{Origin, ok},
};

/// Somebody who owns nothing: `nobody` of most systems.
const STRANGER: &str = "65534";

/// A directory into which a stranger may look, with the program.
struct House(TempDir);

// === impl House ===

impl House {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        mode(directory.path(), 0o755);
        let program = directory.path().join("usher");
        let built = Path::new(env!("CARGO_BIN_EXE_usher"));
        // Where it was built a stranger may not be let in.
        if fs::hard_link(built, &program).is_err() {
            fs::copy(built, &program).expect("it can be copied");
        }
        Self(directory)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).expect("it can be written");
        mode(&path, 0o644);
        path.display().to_string()
    }

    /// `program` as a stranger: by the system's own tool where the tests run as root, who may all.
    fn stranger(&self, program: &Path) -> Command {
        let mut command = match geteuid().is_root() {
            true => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid", STRANGER, "--regid", STRANGER, "--clear-groups", "--"]);
                command.arg(program);
                command
            }
            false => Command::new(program),
        };
        command.stdin(Stdio::null());
        command
    }

    /// What `usher` says to a stranger.
    fn said(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output: Output = self
            .stranger(&self.path("usher"))
            .args(arguments)
            .output()
            .expect("setpriv is part of util-linux");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).expect("text"))
    }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("it is ours");
}

fn text(listeners: &str, endpoint: &str) -> String {
    format!(
        "listeners: [{listeners}]\ncontrol: {{ bind: 127.0.0.1:0 }}\n\
         metrics: {{ bind: 127.0.0.1:0 }}\nworkers: 1\ndrain: {{ grace: 0s }}\n\
         audiences: [{{ name: everyone, pool: rails }}]\n\
         pools: {{ rails: {{ endpoints: [{endpoint}], capacity: 5 }} }}\n"
    )
}

#[test]
fn a_key_that_may_not_be_read_is_an_error_at_its_place() {
    let house = House::new();
    Authority::new("root").issue(&["shop.example"]).write(house.0.path(), "shop");
    mode(&house.path("shop.crt"), 0o644);
    mode(&house.path("shop.key"), 0o000);
    let listener =
        "{ bind: 127.0.0.1:0, tls: { certificates: [{ cert: shop.crt, key: shop.key }] } }";
    let config = house.write("usher.yaml", &text(listener, "127.0.0.1:1"));
    for command in ["check", "run"] {
        let (code, said) = house.said(&[command, "--config", &config]);
        assert_eq!(code, Some(2), "{said}");
        let place = format!("{config}:1:");
        let line = said.lines().find(|line| line.starts_with(&place)).unwrap_or_default();
        assert!(line.contains("error: ") && line.contains("Permission denied"), "{said}");
        assert!(line.contains("shop.key"), "{said}");
    }
}

#[test]
fn a_configuration_that_may_not_be_read_is_an_error() {
    let house = House::new();
    let config = house.write("usher.yaml", &text("{ bind: 127.0.0.1:0 }", "127.0.0.1:1"));
    mode(Path::new(&config), 0o000);
    let (code, said) = house.said(&["run", "--config", &config]);
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains(&format!("{config}: error: cannot be read: Permission denied")),
        "{said}"
    );
}

#[test]
fn where_usher_may_not_listen_it_says_so_and_ends() {
    let house = House::new();
    fs::create_dir(house.path("closed")).expect("a directory");
    mode(&house.path("closed"), 0o555);
    let socket = house.path("closed/usher.sock");
    let mut places = vec![format!("unix:{}", socket.display())];
    // Where the system lets everybody have any port there is nothing to be refused.
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let first: u16 = first.ok().and_then(|first| first.trim().parse().ok()).unwrap_or(1024);
    places.extend(first.checked_sub(1).map(|port| format!("127.0.0.1:{port}")));
    for place in places {
        let config = text(&format!("{{ bind: \"{place}\" }}"), "127.0.0.1:1");
        let config = house.write("usher.yaml", &config);
        let (code, said) = house.said(&["run", "--config", &config]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(&format!("cannot listen on {place}: ")), "{said}");
        assert!(said.contains("ermission denied"), "{said}");
        // It is a property of the machine, not of the file.
        assert_eq!(house.said(&["check", "--config", &config]).0, Some(0));
    }
    assert!(!socket.exists());
}

#[tokio::test]
async fn a_key_that_may_not_be_read_any_more_changes_nothing_until_it_may() {
    let house = House::new();
    let authority = Authority::new("root");
    let origin = Origin::start().await;
    let endpoint = origin.endpoint();
    origin.serve(|_| ok("here"));
    authority.issue(&["shop.example"]).write(house.0.path(), "shop");
    let pair = format!(
        "{{ cert: {}, key: {} }}",
        house.path("shop.crt").display(),
        house.path("shop.key").display()
    );
    for name in ["shop.crt", "shop.key"] {
        mode(&house.path(name), 0o644);
    }
    // The program lies where a stranger may look, and its configuration is made readable.
    let listener = format!(
        "{{ bind: 127.0.0.1:0 }}, {{ bind: 127.0.0.1:0, tls: {{ certificates: [{pair}] }} }}"
    );
    // Without an operators' port the third address is that of metrics still.
    let config = text(&listener, &endpoint);
    let config = config.replace("control: { bind: 127.0.0.1:0 }", "control: off");
    let own = house.path("usher");
    let started = Binary::start_by(&config, |program| {
        let directory = program.parent().expect("it lies in one");
        mode(directory, 0o755);
        mode(&directory.join("usher.yaml"), 0o644);
        house.stranger(&own)
    });
    let usher = started.await.unwrap_or_else(|log| panic!("usher did not start:\n{log}"));
    let renewed = authority.issue(&["shop.example"]);
    // Put there by somebody who forgot to give it away.
    let beside = house.path("beside");
    fs::write(&beside, &renewed.key).expect("it can be written");
    mode(&beside, 0o000);
    fs::rename(&beside, house.path("shop.key")).expect("it is put in its place");
    usher.says("Permission denied").await;
    let mut client = Client::connect(usher.clients).await;
    assert_eq!(client.get("/").await.text(), "here");
    fs::write(house.path("shop.crt"), &renewed.cert).expect("it can be written");
    mode(&house.path("shop.key"), 0o644);
    let applied = "usher_config_reloads_total{result=\"applied\"}";
    let samples = usher_when(&usher, applied).await;
    assert!(samples >= 1.0);
}

/// Waits until `name` has moved.
async fn usher_when(usher: &Binary, name: &str) -> f64 {
    usher.when(name, |samples| samples.get(name) > 0.0).await.get(name)
}

#[tokio::test]
async fn an_endpoint_at_a_socket_that_is_not_for_usher_is_left_alone_and_the_log_says_why() {
    let house = House::new();
    let origin = Origin::start().await;
    let endpoint = origin.endpoint();
    origin.serve(|_| ok("here"));
    let socket = house.path("puma.sock");
    let _puma = UnixListener::bind(&socket).expect("it is free");
    mode(&socket, 0o600);
    let own = house.path("usher");
    let endpoints = format!("unix:{}, {endpoint}", socket.display());
    let config = text("{ bind: 127.0.0.1:0 }", &endpoints);
    let started = Binary::start_by(&config, |program| {
        let directory = program.parent().expect("it lies in one");
        mode(directory, 0o755);
        mode(&directory.join("usher.yaml"), 0o644);
        house.stranger(&own)
    });
    let usher = started.await.unwrap_or_else(|log| panic!("usher did not start:\n{log}"));
    let mut client = Client::connect(usher.clients).await;
    let ejected = r#"usher_endpoint_events_total{pool="rails",event="ejected"}"#;
    while usher.samples().await.get(ejected) == 0.0 {
        // Whoever is sent there is served by the other one.
        assert_eq!(client.get("/").await.text(), "here");
    }
    usher.says("Permission denied").await;
    assert!(usher.log().contains(&socket.display().to_string()), "{}", usher.log());
}
