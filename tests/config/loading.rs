//! What a right file means.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use usher::{
    bind::Bind,
    config::{
        self, AccessLog, AddressSpec, Config, Environment, Limits, LoadOptions, Problems,
        QueueLength, Timeouts,
    },
};

fn load(name: &str) -> Config {
    let path = format!("tests/config/valid/{name}.yaml");
    let variables = [("HOST", "web"), ("SECRET", "hunter2")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let options =
        LoadOptions { environment: Environment::Fixed(variables.into()), ..LoadOptions::default() };
    config::load(Path::new(&path), &options).expect("it is right").0
}

fn parse(text: &str) -> Result<Config, Problems> {
    config::parse_text("test", text, &LoadOptions::default()).map(|(config, _)| config)
}

fn address(text: &str) -> Bind {
    Bind::from(text.parse::<SocketAddr>().expect("an address"))
}

#[test]
fn listeners_at_any_port_are_told_apart() {
    let text = fs::read_to_string("tests/config/valid/smallest.yaml").expect("it is there");
    let (first, rest) = text.split_once("listeners:").expect("it has listeners");
    let rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
    let listeners = "listeners: [{ bind: 127.0.0.1:0 }, { bind: 127.0.0.2:0 }, \
                     { bind: 127.0.0.1:0, h2c: on }]\n";
    let config = parse(&format!("{first}{listeners}{rest}")).expect("it is right");
    let known: Vec<_> = config.listeners.iter().map(|it| it.bind.to_string()).collect();
    assert_eq!(known, ["127.0.0.1:0", "127.0.0.2:0", "127.0.0.1:0#2"]);
}

#[test]
fn what_is_not_said_has_a_default() {
    let config = load("smallest");
    assert_eq!(config.control, Some(address("127.0.0.1:9900")));
    assert_eq!(config.metrics, Some(address("127.0.0.1:9901")));
    assert_eq!(config.workers, None);
    assert_eq!(config.access_log, AccessLog::Stdout);
    assert_eq!(config.drain, config::Drain::default());
    assert_eq!(config.listeners[0].limits, Limits::default());
    let pool = &config.pools[0];
    assert_eq!((pool.capacity, pool.capacity_written), (5, false));
    assert_eq!(pool.timeouts, Timeouts::default());
    assert_eq!(pool.keep_alive_idle, Duration::from_secs(15));
    assert_eq!(pool.abandoned_hold, Duration::from_secs(30));
    assert!(pool.buffer.request);
}

#[test]
fn the_reference_says_what_the_defaults_are() {
    let written = config::load(Path::new("config/usher.yaml"), &LoadOptions::default());
    let written = written.expect("it is right").0;
    let silent = load("smallest");
    assert_eq!(written.control, silent.control);
    assert_eq!(written.metrics, silent.metrics);
    assert_eq!(written.trusted_proxies, silent.trusted_proxies);
    assert_eq!(written.workers, silent.workers);
    assert_eq!(written.access_log, silent.access_log);
    assert_eq!(written.drain, silent.drain);
    assert_eq!(written.listeners[0].limits, silent.listeners[0].limits);
    let (web, default) = (&written.pools[0], &silent.pools[0]);
    assert_eq!(web.capacity, default.capacity);
    assert_eq!(web.timeouts, default.timeouts);
    assert_eq!(web.keep_alive_idle, default.keep_alive_idle);
    assert_eq!(web.buffer, default.buffer);
}

#[test]
fn the_complete_surface_means_what_it_says() {
    let config = load("complete-surface");
    let names: Vec<&str> = config.audiences.iter().map(|a| a.name.as_str()).collect();
    assert_eq!(names, ["admin", "driver", "restaurant", "customer"]);
    let pools: Vec<&str> = config.pools.iter().map(|pool| pool.name.as_str()).collect();
    assert_eq!(pools, ["customer", "driver", "restaurant", "admin"]);
    let customer = &config.pools[0];
    let addresses: Vec<String> =
        customer.endpoints.iter().map(|endpoint| endpoint.address.to_string()).collect();
    assert_eq!(addresses, ["127.0.0.1:3000", "[::1]:3001", "unix:/run/puma.sock", "web-3:3000"]);
    assert_eq!(customer.endpoints[3].weight, 2);
    assert_eq!(customer.queue.length, QueueLength::TimesCapacity(4.0));
    assert_eq!(config.pools[3].timeouts.total, Duration::from_secs(120));
    assert_eq!(config.audiences[0].only.len(), 1);
    assert_eq!(config.audiences[3].rules.len(), 0);
    let position = &config.audiences[1].objectives[1];
    assert_eq!(position.name.as_ref().map(|name| name.as_str()), Some("position"));
    assert_eq!(&*position.only[0].label, "path /api/driver/position and method POST");
    assert_eq!(config.metrics, Some(address("0.0.0.0:9901")));
}

#[test]
fn rules_carry_their_line_and_read_as_they_were_written() {
    let config = load("not-and-labels");
    let rules: Vec<(usize, &str)> =
        config.audiences[0].rules.iter().map(|rule| (rule.line, &*rule.label)).collect();
    assert_eq!(
        rules,
        [
            (
                5,
                "path /a/** or /b and method POST and header X-App: ios or and* \
                 and client 10.0.0.0/8 and not path /a/x and not cookie beta: 1"
            ),
            (6, "host *.example.com and query locale: de and not path /c and not method GET"),
        ]
    );
    assert_eq!(config.audiences[0].rules[0].not.len(), 2);
}

#[test]
fn scalars_of_rules_are_text() {
    let config = load("scalars-as-written");
    assert_eq!(
        &*config.audiences[0].rules[0].label,
        "path /a and header X-Version: 1.10 and header X-On: on and header X-Two: 2 \
         and header X-Nan: .nan"
    );
}

#[test]
fn variables_reach_what_is_done_and_not_what_is_shown() {
    let config = load("variables");
    assert_eq!(config.listeners[0].bind, address("127.0.0.1:8080"));
    assert_eq!(config.pools[0].endpoints[0].address, AddressSpec::Named("web".to_owned(), 3000));
    let rule = &config.audiences[0].rules[0];
    assert_eq!(&*rule.label, "path /a and header X-Token: ${SECRET}");
    assert!(format!("{:?}", rule.all).contains("hunter2"));
    assert!(!config.redacted.contains("hunter2"));
    let redacted: serde_json::Value = serde_json::from_str(&config.redacted).expect("JSON");
    assert_eq!(redacted["pools"]["web"]["endpoints"][0], "${HOST}:3000");
}

#[test]
fn included_audiences_come_first_and_defaults_fill_what_is_missing() {
    let config = load("includes-and-defaults");
    let audiences: Vec<(&str, &str)> =
        config.audiences.iter().map(|a| (a.name.as_str(), a.pool.as_str())).collect();
    assert_eq!(audiences, [("partners", "partners"), ("all", "web")]);
    assert!(config.audiences.iter().all(|audience| audience.only.len() == 1));
    let (web, partners) = (&config.pools[0], &config.pools[1]);
    assert_eq!((web.capacity, partners.capacity), (3, 3));
    assert_eq!(web.timeouts.total, Duration::from_secs(10));
    assert_eq!(web.timeouts.first_byte, Duration::from_secs(9));
    assert_eq!(partners.timeouts.total, Duration::from_secs(30));
    let bodies: Vec<u64> = config.listeners.iter().map(|l| l.limits.body_bytes).collect();
    assert_eq!(bodies, [1 << 30, 10 << 20]);
    assert!(config.listeners.iter().all(|listener| listener.limits.headers == 50));
}

#[test]
fn ports_and_log_can_be_off() {
    let config = load("ports-off");
    assert_eq!((config.control, config.metrics), (None, None));
    assert_eq!(config.access_log, AccessLog::Off);
}

#[test]
fn relative_paths_start_at_the_file() {
    let config = load("page");
    assert!(config.audiences[0].page.as_deref().is_some_and(|page| page.contains("cooking")));
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("usher.yaml");
    let text = "listeners: [{ bind: 127.0.0.1:0 }]\naudiences: [{ name: all, pool: web }]\n\
                pools: { web: { endpoints: [unix:puma.sock] } }\naccess_log: { path: a.log }\n";
    fs::write(&path, text).expect("writable");
    let (config, _) = config::load(&path, &LoadOptions::default()).expect("right");
    let expected = AddressSpec::Unix(directory.path().join("puma.sock"));
    assert_eq!(config.pools[0].endpoints[0].address, expected);
    assert_eq!(config.access_log, AccessLog::File(directory.path().join("a.log")));
}

#[test]
fn sockets_of_endpoints_start_at_the_file_they_stand_in_and_are_told_in_full() {
    // Read by a relative path, as `usher run` does by default.
    let config = load("unix-endpoints");
    let here = std::env::current_dir().expect("there is one").join("tests/config");
    let told = |pool: &str| {
        let pool = config.pools.iter().find(|it| it.name.as_str() == pool).expect("a pool");
        pool.endpoints.iter().map(|it| it.address.to_string()).collect::<Vec<_>>()
    };
    let at = |path: &str| format!("unix:{}", here.join(path).display());
    assert_eq!(told("here"), [at("valid/puma.sock"), at("valid/../other.sock")]);
    assert_eq!(told("there"), [at("valid/../parts/puma.sock")]);
}

#[test]
fn the_hash_follows_the_meaning_and_not_the_layout() {
    let text = "listeners: [{ bind: 127.0.0.1:8080 }]\naudiences: [{ name: all, pool: web }]\n\
                pools: { web: { endpoints: [127.0.0.1:3000] } }\n";
    let hash = |text: &str| parse(text).expect("right").hash;
    assert_eq!(hash(text).len(), 64);
    assert_eq!(hash(text), hash(&format!("# a comment\n{text}\n")));
    assert_eq!(hash(text), hash(&text.replace("[127.0.0.1:3000]", "[\n  '127.0.0.1:3000' ]")));
    assert_ne!(hash(text), hash(&text.replace("3000", "3001")));
}

#[test]
fn what_may_be_missing_is_passed_over_and_yields_no_configuration() {
    let path = Path::new("tests/config/invalid/missing-variable.yaml");
    let fixed = Environment::Fixed(Default::default());
    let options =
        LoadOptions { environment: fixed, allow_missing_env: true, ..LoadOptions::default() };
    assert_eq!(config::check(path, &options).errors(), 0);
    assert!(config::load(path, &options).is_err());
    let options = LoadOptions { allow_missing_files: true, ..LoadOptions::default() };
    for name in ["missing-page", "missing-include"] {
        let path = format!("tests/config/invalid/{name}.yaml");
        assert_eq!(config::check(Path::new(&path), &options).errors(), 0, "{name}");
    }
}

#[test]
fn the_control_port_is_found_in_a_file_that_is_wrong() {
    let control = |text: &str| {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("usher.yaml");
        fs::write(&path, text).expect("writable");
        config::control_only(&path, &LoadOptions::default())
    };
    let wrong = "pools: { web: { endpoints: 5 } }\nx: ${NOWHERE}\n";
    assert_eq!(control(wrong), Ok(Some(address("127.0.0.1:9900"))));
    let with = format!("control: {{ bind: '127.0.0.1:${{NO_SUCH_PORT:-99}}' }}\n{wrong}");
    assert_eq!(control(&with), Ok(Some(address("127.0.0.1:99"))));
    assert_eq!(control("control: off\n"), Ok(None));
    assert!(control("control: { bind: here }\n").is_err());
    assert!(control("control: {}\n").is_err());
    assert!(control("control: [\n").is_err());
}

#[test]
fn a_file_that_cannot_be_read_says_so() {
    let problems = config::check(Path::new("nowhere.yaml"), &LoadOptions::default());
    let text = problems.to_string();
    assert!(text.starts_with("nowhere.yaml: error: cannot be read: "), "{text}");
    assert!(text.ends_with("\n1 error, 0 warnings"), "{text}");
}

#[test]
fn ten_thousand_rules_are_read() {
    let mut text =
        "listeners: [{ bind: 127.0.0.1:8080 }]\naudiences:\n  - name: a\n    pool: web\n    \
                    match:\n"
            .to_owned();
    for number in 0..10_000 {
        text.push_str(&format!("      - path: /a/{number}\n"));
    }
    text.push_str(
        "  - { name: all, pool: web }\npools: { web: { endpoints: [127.0.0.1:3000] } }\n",
    );
    assert_eq!(parse(&text).expect("right").audiences[0].rules.len(), 10_000);
}
