//! Everything that operators do to a running usher, under load: reloads, some of them of broken
//! files, an endpoint drained and put back, a new binary, and a stop while a second usher takes
//! over the socket. No request fails, no tunnel is cut, and nothing grows.
//!
//! In small by default. With `USHER_LIFECYCLE=long` in full: 1,000 reloads and 1,000 WebSockets;
//! `docs/lifecycle.md` has the figures of such a run.

use std::{
    fmt::Write as _,
    fs,
    net::{SocketAddr, TcpListener},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{runtime::Handle, sync::watch, task::JoinSet};

use crate::{
    kit::{Shop, handed, open_socket, part, spoken},
    load::{Crowd, Load},
    support::{
        binary::{Binary, lives},
        client::Client,
        origin::PATIENCE,
        usher::Samples,
    },
};

/// How many slots each shop has.
const CAPACITY: u64 = 5;

/// How much of everything.
struct Scale {
    reloads: u32,
    sockets: usize,
    crowd: Crowd,
    tunnels: Duration,
    patience: Duration,
    /// How much resident memory may grow by, whatever was done meanwhile, in KiB: what an allocator
    /// keeps for later counts more at first.
    growth: u64,
}

// === impl Scale ===

impl Scale {
    fn asked_for() -> Self {
        let long = std::env::var("USHER_LIFECYCLE").is_ok_and(|scale| scale == "long");
        if long {
            let (tunnels, patience) = (Duration::from_secs(20), Duration::from_secs(120));
            let crowd = Crowd { kept: 8, fresh: 4, many: 4 };
            let (reloads, sockets, growth) = (1000, 1000, 2048);
            return Self { reloads, sockets, crowd, tunnels, patience, growth };
        }
        let (tunnels, patience) = (Duration::from_secs(6), Duration::from_secs(60));
        let crowd = Crowd { kept: 4, fresh: 2, many: 2 };
        let (reloads, sockets, growth) = (40, 40, 10_240);
        Self { reloads, sockets, crowd, tunnels, patience, growth }
    }
}

/// What the configuration says in reload number `round`: of ten, two are broken files, and five of
/// the others change the pool.
/// There are more clients than slots, so that some always wait, and none is to be refused for that.
fn config(address: SocketAddr, shops: &[Shop; 2], tunnels: Duration, round: u32) -> String {
    let endpoints = match round % 10 {
        0 | 8 | 9 => format!("{}, {}", shops[0].address, shops[1].address),
        1 | 2 | 5 => shops[0].address.to_string(),
        _ => shops[1].address.to_string(),
    };
    let key = if round % 5 == 4 { "capcity" } else { "capacity" };
    let mut text = String::new();
    let _ = write!(
        text,
        "listeners: [{{ bind: \"{address}\"{} }}]\n\
         control: {{ bind: 127.0.0.1:0 }}\nmetrics: {{ bind: 127.0.0.1:0 }}\n\
         access_log: off\nworkers: 2\n\
         limits: {{ per_client: 100000, tunnel_idle: 1h }}\n\
         drain: {{ grace: 0s, requests: 30s, tunnels: {}s }}\n\
         audiences:\n\
         - {{ name: round-{round}, pool: rails, match: [{{ path: /round/{round} }}] }}\n\
         - {{ name: everyone, pool: rails }}\n\
         pools: {{ rails: {{ endpoints: [{endpoints}], {key}: {CAPACITY}, \
                             keep_alive: {{ idle: 1s }}, \
                             queue: {{ length: 2000, wait: 20s }} }} }}\n",
        spoken(),
        tunnels.as_secs()
    );
    text
}

async fn reload(usher: &Binary, text: &str) {
    let beside = usher.config().with_extension("new");
    fs::write(&beside, text).expect("it can be written");
    fs::rename(beside, usher.config()).expect("it can be put there");
    let mut client = Client::plain(usher.control).await;
    client.send("POST /api/v1/reload HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let wanted = if text.contains("capcity") { 422 } else { 200 };
    let answer = client.answer().await;
    assert_eq!(answer.status, wanted, "{}", answer.text());
}

/// Has `usher` drain or undrain `shop`.
async fn order(usher: &Binary, verb: &str, shop: &Shop) {
    let body = format!("{{\"target\":\"{}\"}}", shop.address);
    let mut client = Client::plain(usher.control).await;
    let head = format!(
        "POST /api/v1/{verb} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    client.send(head + &body).await;
    let answer = client.answer().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Sees that a drained `shop` is sent nothing but what had a slot there before.
async fn gets_nothing(shop: &Shop, load: &mut Load) {
    let before = shop.served();
    load.goes_on(100).await;
    let since = shop.served() - before;
    assert!(since <= CAPACITY, "a drained endpoint was sent {since} requests");
}

/// What a process has come to.
#[derive(Clone, Copy, Debug)]
struct Size {
    /// Resident memory.
    kib: u64,
    descriptors: usize,
}

// === impl Size ===

impl Size {
    fn of(pid: Pid) -> Self {
        let folder = format!("/proc/{}", pid.as_raw_nonzero());
        let status = fs::read_to_string(format!("{folder}/status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok());
        let descriptors = fs::read_dir(format!("{folder}/fd")).expect("it is ours").count();
        Self { kib: kib.expect("a number of KiB"), descriptors }
    }

    /// The size of `pid`, once that is what this was and no more: but for connections that the
    /// crowd has or has not open just now, at both ends of usher. Those to endpoints that a reload
    /// has left without work end when they have been idle for as long as they may.
    async fn still(self, pid: Pid, scale: &Scale) -> Self {
        let most = Self {
            kib: self.kib + scale.growth,
            descriptors: self.descriptors + scale.crowd.connections() + 8,
        };
        let settled = async {
            loop {
                let now = Self::of(pid);
                if now.kib <= most.kib && now.descriptors <= most.descriptors {
                    return now;
                }
                tokio::task::yield_now().await;
            }
        };
        let settled = tokio::time::timeout(PATIENCE, settled).await;
        settled.unwrap_or_else(|_| panic!("{:?} and not {most:?}", Self::of(pid)))
    }
}

async fn open_sockets(address: SocketAddr, count: usize) -> Vec<Client> {
    let mut sockets = Vec::with_capacity(count);
    for _ in 0..count {
        sockets.push(open_socket(address).await);
    }
    sockets
}

/// WebSockets whose usher goes, and who are told so.
struct Leaving {
    coming: JoinSet<(Client, Instant)>,
    gone: watch::Sender<bool>,
    since: Instant,
}

// === impl Leaving ===

impl Leaving {
    /// From now on each is told to come back, and comes back at once.
    fn from(address: SocketAddr, sockets: Vec<Client>) -> Self {
        let (gone, _) = watch::channel(false);
        let mut coming = JoinSet::new();
        for socket in sockets {
            coming.spawn(come_back(address, socket, gone.subscribe()));
        }
        Self { coming, gone, since: Instant::now() }
    }

    /// That usher has gone. Waits for all of them, and says over how long they were told.
    async fn are_back(mut self) -> (Vec<Client>, Duration) {
        self.gone.send_replace(true);
        let (mut sockets, mut last) = (Vec::new(), self.since);
        while let Some(back) = self.coming.join_next().await {
            let (socket, told) = back.expect("it was closed as it should be");
            assert!(told >= self.since, "before the drain had begun");
            last = last.max(told);
            sockets.push(socket);
        }
        (sockets, last - self.since)
    }
}

/// Is told, and comes back; to the one that goes, should that still accept, and is told again.
async fn come_back(
    address: SocketAddr,
    mut socket: Client,
    mut gone: watch::Receiver<bool>,
) -> (Client, Instant) {
    loop {
        part(socket).await;
        let told = Instant::now();
        socket = open_socket(address).await;
        // What has come by then is kept.
        tokio::select! {
            biased;
            () = socket.hears() => {}
            _ = gone.wait_for(|gone| *gone) => return (socket, told),
        }
    }
}

#[tokio::test]
async fn nothing_is_lost_whatever_operators_do() {
    let scale = Scale::asked_for();
    let shown = tokio::time::timeout(scale.patience * 4, show(&scale)).await;
    let figures = shown.expect("it ends in time");
    // The figures of a run, for whoever asks for them with `--nocapture`.
    let _ = std::io::Write::write_all(&mut std::io::stderr(), figures.as_bytes());
}

/// A thread of its own for the monolith and for those who ask, who go on whatever the test waits
/// for.
fn aside() -> Handle {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let handle = runtime.handle().clone();
    std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    handle
}

async fn show(scale: &Scale) -> String {
    let aside = aside();
    let open = |name| aside.spawn(Shop::open(name));
    let shops = [open("one").await.expect("a shop"), open("two").await.expect("a shop")];
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("an address");
    let text = |round| config(address, &shops, scale.tunnels, round);
    let first = Binary::start_by(&text(0), |program| handed(program, &socket)).await;
    let mut first = first.expect("it starts");
    let mut figures = String::new();

    let sockets = open_sockets(address, scale.sockets).await;
    let mut load = Load::begin(address, scale.crowd, &aside);
    load.goes_on(200).await;
    let flat = reload_often(&first, scale, &mut load, &text, &mut figures).await;

    order(&first, "drain", &shops[1]).await;
    gets_nothing(&shops[1], &mut load).await;
    let leaving = Leaving::from(address, sockets);
    let heir = first.upgrade().expect("the same binary serves");
    assert_eq!(first.first_ended().await.code(), Some(0), "{}", first.log());
    let (sockets, over) = leaving.are_back().await;
    gets_nothing(&shops[1], &mut load).await;
    flat.still(heir, scale).await;
    let _ = writeln!(figures, "upgrade: {} WebSockets told over {over:.1?}", scale.sockets);
    order(&first, "undrain", &shops[1]).await;
    let before = shops[1].served();
    while shops[1].served() == before {
        load.goes_on(1).await;
    }
    let all = |samples: &Samples| {
        samples.sum("usher_tunnels_closed_total", &["drained"]) >= scale.sockets as f64
    };
    let samples = first.when("all tunnels are counted", all).await;
    assert_eq!(samples.sum("usher_tunnels_closed_total", &["cut"]), 0.0);
    assert_eq!(samples.sum("usher_requests_total", &["failed"]), 0.0);
    flat.still(heir, scale).await;

    let second = Binary::start_by(&text(0), |program| handed(program, &socket)).await;
    let second = second.expect("it starts");
    let leaving = Leaving::from(address, sockets);
    kill_process(heir, Signal::TERM).expect("it runs");
    while lives(heir) {
        tokio::task::yield_now().await;
    }
    let (sockets, over) = leaving.are_back().await;
    load.goes_on(100).await;
    flat.still(second.pid(), scale).await;
    let _ = writeln!(figures, "take-over: {} WebSockets told over {over:.1?}", scale.sockets);
    settle(load, second, sockets, &shops, &mut figures).await;
    figures
}

/// Reloads, half of which change pools and some of which are of broken files. What usher has come
/// to by then, which is what it was after a quarter of them.
async fn reload_often(
    usher: &Binary,
    scale: &Scale,
    load: &mut Load,
    text: &impl Fn(u32) -> String,
    figures: &mut String,
) -> Size {
    let mut before = Size::of(usher.pid());
    for round in 1..=scale.reloads {
        reload(usher, &text(round)).await;
        load.goes_on(1).await;
        if round == scale.reloads / 4 {
            before = Size::of(usher.pid());
        }
    }
    reload(usher, &text(0)).await;
    let after = before.still(usher.pid(), scale).await;
    // Each had an audience of its own, which is told of for as long as anything holds on to it.
    let last = |samples: &Samples| {
        let of_rounds = samples.0.keys().filter(|name| name.contains("audience=\"round-"));
        of_rounds.clone().next().is_some() && of_rounds.clone().all(|it| it.contains("round-0\""))
    };
    let samples = usher.when("no configuration is left but the last", last).await;
    assert_eq!(samples.sum("usher_tunnels_closed_total", &[]), 0.0, "reloads touch no tunnel");
    let open = samples.get("usher_tunnels{audience=\"everyone\"}");
    assert_eq!(open, scale.sockets as f64);
    assert_eq!(samples.sum("usher_requests_total", &["failed"]), 0.0);
    let answers = load.answers();
    let _ = writeln!(
        figures,
        "{} reloads, {answers} answers: {} -> {} KiB resident, {} -> {} descriptors",
        scale.reloads, before.kib, after.kib, before.descriptors, after.descriptors
    );
    after
}

/// The last usher stops, and the books are compared: what clients have was served by the monolith,
/// once, and nothing was answered by anybody else.
async fn settle(
    load: Load,
    mut usher: Binary,
    sockets: Vec<Client>,
    shops: &[Shop; 2],
    figures: &mut String,
) {
    let (answers, repeated) = load.end().await;
    let samples = usher.samples().await;
    assert_eq!(samples.sum("usher_requests_total", &["failed"]), 0.0);
    drop(sockets);
    usher.signal(Signal::TERM);
    assert_eq!(usher.first_ended().await.code(), Some(0), "{}", usher.log());
    let served = shops.iter().map(Shop::served).sum::<u64>();
    let asked = answers..=answers + repeated;
    assert!(asked.contains(&served), "{served} served, {answers} heard");
    let _ = writeln!(figures, "{answers} requests answered, 0 failed, {repeated} sent again");
}
