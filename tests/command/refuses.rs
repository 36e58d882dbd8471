//! A wrong configuration or command line: it never starts, and says everything that is wrong.

use std::{fs, net::TcpListener, path::Path, process::Output};

use crate::support::{
    binary::{said, usher},
    names::Names,
};

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

/// What a command says that ends with `code`, having written nothing to standard output.
#[track_caller]
fn complaint(output: &Output, code: i32) -> &str {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    assert_eq!(text(&output.stdout), "");
    text(&output.stderr)
}

#[test]
fn run_prints_every_problem_of_a_wrong_configuration_and_exits_with_2() {
    // What the files name, and nothing that happens to be set here.
    let environment = [("HOST", "web"), ("SECRET", "hunter2"), ("BRACKET", "([")];
    let mut files = 0;
    for entry in fs::read_dir("tests/config/invalid").expect("the corpus") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let mut run = usher(&["run", "--config"]);
        run.arg(&path).env_clear().envs(environment);
        let output = run.output().expect("it runs");
        let golden = fs::read_to_string(path.with_extension("stderr")).expect("a golden file");
        assert_eq!(complaint(&output, 2), golden, "{}", path.display());
        files += 1;
    }
    assert!(files > 40, "there are only {files}");
}

#[test]
fn a_wrong_configuration_is_refused_before_any_port_is_taken() {
    let directory = tempfile::tempdir().expect("a directory");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound");
    let write = |name: &str, pool: &str| {
        let path = directory.path().join(name);
        let text = format!(
            "listeners: [{{ bind: {address} }}]\ncontrol: off\nmetrics: off\n\
             audiences: [{{ name: all, pool: {pool} }}]\n\
             pools: {{ web: {{ endpoints: [127.0.0.1:3000], capacity: 5 }} }}\n"
        );
        fs::write(&path, text).expect("written");
        path
    };
    let run = |path: &Path| usher(&["run", "--config"]).arg(path).output().expect("it runs");

    let wrong = run(&write("wrong.yaml", "wbe"));
    let problems = complaint(&wrong, 2);
    assert!(problems.contains(":4:32: error: there is no pool `wbe`, did you mean `web`?"));
    assert!(problems.ends_with("1 error, 0 warnings\n"), "{problems}");
    assert!(!problems.contains("listen"), "{problems}");

    // The same without the mistake: only now does it want the port.
    let right = run(&write("right.yaml", "web"));
    let problem = complaint(&right, 1);
    let expected = format!(
        "ERROR cannot listen on {address}: Address already in use (os error 98) \
         (does another usher run?)\n"
    );
    assert!(problem.ends_with(&expected), "{problem}");
}

#[test]
fn a_configuration_that_is_not_there_is_asked_for() {
    let expected = "nowhere.yaml: error: cannot be read: No such file or directory (os error 2)\n  \
                    hint: name a file with `--config`; `usher schema --example` writes one\n\
                    1 error, 0 warnings\n";
    for command in ["run", "check", "status"] {
        assert_eq!(complaint(&said(&[command, "--config", "nowhere.yaml"]), 2), expected);
    }
    let explain = said(&["explain", "--config", "nowhere.yaml", "GET", "/"]);
    assert_eq!(complaint(&explain, 2), expected);
}

#[test]
fn a_wrong_command_line_exits_with_2() {
    for (arguments, said_why) in [
        (&["run", "--nonsense"][..], "unexpected argument '--nonsense'"),
        (&["nonsense"], "unrecognized subcommand 'nonsense'"),
        (&["run", "--upstream", "127.0.0.1:1", "--config", "a.yaml"], "cannot be used with"),
        (&["run", "--bind", "127.0.0.1"], "--upstream"),
        (&["run", "--upstream", "nonsense"], "`nonsense` is not the address of an endpoint"),
        (&["check", "--format", "xml"], "invalid value 'xml'"),
        (&["check", "--allow-missing", "sense"], "invalid value 'sense'"),
        (&["explain"], "<REQUEST>..."),
        (&["explain", "--config", "config/usher.yaml", "GET"], "URL"),
        (&[], "Usage: usher <COMMAND>"),
    ] {
        let output = said(arguments);
        let complaint = complaint(&output, 2);
        assert!(complaint.contains(said_why), "{arguments:?}: {complaint}");
    }
}

#[test]
fn check_says_how_many_problems_there_are_and_strictly_minds_warnings() {
    for file in ["config/usher.yaml", "config/examples/food-delivery.yaml"] {
        let output = said(&["check", "--strict", "--config", file]);
        assert_eq!(complaint(&output, 0), format!("{file}: 0 errors, 0 warnings\n"));
    }
    let example = "tests/config/valid/lint-objectives.yaml";
    let lenient = said(&["check", "--config", example]);
    let warnings = complaint(&lenient, 0);
    assert!(warnings.ends_with("0 errors, 6 warnings\n"), "{warnings}");
    assert_eq!(warnings.matches("warning: 100% leaves no error budget").count(), 3);
    let strict = said(&["check", "--strict", "--config", example]);
    assert_eq!(complaint(&strict, 2), warnings);
}

#[test]
fn status_without_a_running_usher_says_what_to_do() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("usher.yaml");
    let nobody = Nobody::new();
    let address = nobody.address();
    fs::write(&path, format!("control: {{ bind: {address} }}\nnonsense: true\n")).expect("written");
    let config = usher(&["status", "--config"]).arg(&path).output().expect("it runs");
    let control = said(&["status", "--control", &address]);
    for output in [config, control] {
        assert_eq!(
            complaint(&output, 1),
            format!(
                "cannot connect to {address}: Connection refused (os error 111); is usher \
                 running? --control ADDR says where it listens\n"
            )
        );
    }
}

/// A port that nobody else gets, and where nobody listens.
struct Nobody(socket2::Socket);

impl Nobody {
    fn new() -> Self {
        let kind = socket2::Type::STREAM;
        let socket = socket2::Socket::new(socket2::Domain::IPV4, kind, None).expect("a socket");
        let any: std::net::SocketAddr = ([127, 0, 0, 1], 0).into();
        socket.bind(&any.into()).expect("a free port");
        Self(socket)
    }

    fn address(&self) -> String {
        let address = self.0.local_addr().expect("it is bound");
        address.as_socket().expect("an address").to_string()
    }
}

#[tokio::test]
async fn check_asks_for_names_and_warns_where_one_has_one_address() {
    let names = Names::start().await;
    names.tell("cluster.shop", &[[10, 96, 3, 4].into()]);
    names.tell("pods.shop", &[[10, 1, 0, 4].into(), [10, 1, 0, 5].into()]);
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("usher.yaml");
    let text = format!(
        "listeners: [{{ bind: 127.0.0.1:0 }}]\n\
         resolver: {{ servers: [\"{}\"], search: [], attempts: 1 }}\n\
         audiences: [{{ name: all, pool: web }}]\n\
         pools:\n  web:\n    capacity: 5\n    endpoints:\n\
         \x20     - dns: {{ name: pods.shop, port: 3000 }}\n\
         \x20     - dns: {{ name: cluster.shop, port: 3000 }}\n\
         \x20     - dns: {{ name: nowhere.shop, port: 3000 }}\n",
        names.address()
    );
    fs::write(&path, text).expect("written");
    let check = tokio::task::spawn_blocking(move || {
        usher(&["check", "--config"]).arg(&path).output().expect("it runs")
    });
    let output = check.await.expect("it does not panic");
    let warnings = complaint(&output, 0);
    let warning = ":9:14: warning: `cluster.shop` has one address, 10.96.3.4\n";
    assert!(warnings.contains(warning), "{warnings}");
    assert!(warnings.contains("hint: a ClusterIP? use a headless Service"), "{warnings}");
    assert!(warnings.ends_with("0 errors, 1 warning\n"), "{warnings}");
}
