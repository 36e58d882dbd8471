//! `usher demo`: usher at work, without a file and without anything beyond loopback.

use std::{
    io::{self, Write},
    net::IpAddr,
    sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, sync_channel},
    thread,
    time::{Duration, Instant},
};

use super::{
    DONE, FAILED,
    live::{Key, Screen},
};
use crate::{
    app::Remote,
    demo::{self, Account, Cue, Demo, Doors, Event, Stage, Verdict, Watch, readings, view},
    units,
};

/// How often the numbers change.
const TICK: Duration = Duration::from_secs(1);

/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(2);

/// How soon a key or the end is noticed.
const POLL: Duration = Duration::from_millis(100);

/// How long counters may take to see what the last answers brought.
const SETTLE_WAIT: Duration = Duration::from_secs(1);

/// How long it is looked at what something brings; what a flood has left behind is gone by then.
const LOOK_FOR: Duration = Duration::from_secs(6);
const LOOK_AT_FLOOD_FOR: Duration = Duration::from_secs(10);

/// The most sentences that are kept for the end.
const TOLD_MAX: usize = 20;

/// Shows usher at work: a stand-in monolith in four pools, the proxy, and live traffic.
///
/// Needs no file, and listens on the usual ports where they are free.
#[derive(Clone, Debug, clap::Args)]
pub struct DemoArgs {
    /// End after this time, with a summary.
    #[arg(long = "for", value_name = "TIME", value_parser = units::parse_duration)]
    pub lasting: Option<Duration>,
    /// The address to listen on.
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    pub bind: IpAddr,
    /// Write the demo's configuration to standard output, to start from, and end.
    #[arg(long, conflicts_with = "lasting")]
    pub print_config: bool,
}

/// What shows the demo, and what it remembers.
struct Show<'a> {
    stage: &'a Stage,
    remote: Remote,
    doors: Doors,
    script: &'a str,
    started: Instant,
    until: Option<Instant>,
    watch: Watch,
    killed: bool,
    slowed: bool,
    script_shown: bool,
    news: String,
    told: Vec<String>,
}

/// Stops usher when dropped, so that it does not outlive whoever shows it.
struct Stopping(Remote);

/// Runs the demo to its end, and returns the exit code.
pub fn run(args: &DemoArgs) -> u8 {
    if args.print_config {
        let text = demo::example(args.bind);
        return if say(&text).is_ok() { DONE } else { FAILED };
    }
    let Demo { bound, stage, doors, script } = match demo::build(args.bind) {
        Ok(demo) => demo,
        Err(error) => {
            tracing::error!("{error}");
            return FAILED;
        }
    };
    let show = Show::new(&stage, bound.remote(), doors, &script, args.lasting);
    // Nothing is ever sent: that the sender has gone says that usher has ended.
    let (running, ended) = sync_channel::<()>(1);
    thread::scope(|scope| {
        let shown = scope.spawn(move || show.run(&ended));
        let ran = bound.run();
        drop(running);
        match (ran, shown.join()) {
            (Ok(()), Ok(code)) => code,
            (Err(error), _) => {
                tracing::error!("{error}");
                FAILED
            }
            (Ok(()), Err(_panicked)) => FAILED,
        }
    })
}

// === impl Show ===

impl<'a> Show<'a> {
    fn new(
        stage: &'a Stage,
        remote: Remote,
        doors: Doors,
        script: &'a str,
        lasting: Option<Duration>,
    ) -> Self {
        let started = Instant::now();
        Self {
            watch: Watch::begin(started, readings(&remote)),
            stage,
            remote,
            doors,
            script,
            started,
            until: lasting.and_then(|lasting| started.checked_add(lasting)),
            killed: false,
            slowed: false,
            script_shown: false,
            news: String::new(),
            told: Vec::new(),
        }
    }

    /// Shows the demo until it ends, and returns the exit code.
    fn run(mut self, ended: &Receiver<()>) -> u8 {
        let _stopping = Stopping(self.remote.clone());
        let shown = match Screen::open() {
            Some(screen) => {
                self.on(&screen, ended);
                Ok(())
            }
            None => self.in_lines(ended),
        };
        let code = self.finish(ended);
        if shown.is_ok() { code } else { FAILED }
    }

    fn on(&mut self, screen: &Screen, ended: &Receiver<()>) {
        let mut next = Instant::now();
        while !self.is_over(ended) {
            let now = Instant::now();
            if now >= next {
                self.note(now);
                next = now + TICK;
                screen.draw(&self.lines(screen.width()));
            }
            match screen.key(POLL) {
                Some(Key::Letter(letter)) => {
                    self.press(letter);
                    screen.draw(&self.lines(screen.width()));
                }
                Some(Key::Quit) => break,
                None => {}
            }
        }
        "Ending: what is under way is finished.".clone_into(&mut self.news);
        screen.draw(&self.lines(screen.width()));
    }

    fn in_lines(&mut self, ended: &Receiver<()>) -> io::Result<()> {
        say(&view::opening(self.doors))?;
        let mut next = Instant::now() + LINE_EVERY;
        while !self.is_over(ended) {
            let now = Instant::now();
            if now >= next {
                self.note(now);
                next = now + LINE_EVERY;
                let seconds = self.started.elapsed().as_secs();
                let line = self.watch.line(&self.remote.status());
                say(&format!("{seconds} s: {line}\n"))?;
            }
            if ended.recv_timeout(POLL) == Err(RecvTimeoutError::Disconnected) {
                break;
            }
        }
        Ok(())
    }

    fn is_over(&self, ended: &Receiver<()>) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
            || self.remote.is_stopping()
            || ended.try_recv() == Err(TryRecvError::Disconnected)
    }

    fn note(&mut self, now: Instant) {
        if let Some(sentence) = self.watch.note(now, readings(&self.remote)) {
            self.news.clone_from(&sentence);
            if self.told.len() < TOLD_MAX {
                self.told.push(sentence);
            }
        }
    }

    fn lines(&self, width: usize) -> Vec<String> {
        if self.script_shown {
            let head = "The configuration, in usher's own language (c goes back):";
            let script = self.script.lines().map(str::to_owned);
            return [head.to_owned(), String::new()].into_iter().chain(script).collect();
        }
        let status = self.remote.status();
        let shown = view::View {
            doors: self.doors,
            up: self.started.elapsed(),
            audiences: &self.watch.audiences(&status),
            pools: &status.pools,
            killed: self.killed,
            slowed: self.slowed,
            news: &self.news,
        };
        view::lines(&shown, width)
    }

    fn press(&mut self, letter: char) {
        let (cue, cause) = match (letter, self.killed, self.slowed) {
            ('c', ..) => {
                self.script_shown = !self.script_shown;
                return;
            }
            ('a', ..) => {
                let (clients, time) = (demo::FLOOD_CLIENTS, demo::FLOOD_FOR.as_secs());
                (Cue::Flood, format!("{clients} more admins asked without a pause for {time} s"))
            }
            ('k', false, _) => (Cue::Kill, "An endpoint of the customers died".to_owned()),
            ('k', true, _) => (Cue::Revive, "The customers' endpoint came back".to_owned()),
            ('s', _, false) => {
                (Cue::Slow, format!("The restaurants' pool took {} times as long", demo::SLOWER))
            }
            ('s', _, true) => (Cue::Hasten, "The restaurants' pool is back to normal".to_owned()),
            _ => return,
        };
        let now = Instant::now();
        if let Some(left) = self.watch.looks_for(now) {
            let left = left.as_secs_f64();
            self.news =
                format!("One thing at a time: {left:.0} s until it is clear what happened.");
            return;
        }
        let before = readings(&self.remote);
        if let Err(error) = self.stage.call(cue) {
            self.news = format!("That did not work: {error}.");
            return;
        }
        let event = match cue {
            Cue::Flood => Event::Passing(LOOK_AT_FLOOD_FOR),
            Cue::Kill | Cue::Revive | Cue::Slow | Cue::Hasten | Cue::End => {
                Event::Lasting(LOOK_FOR)
            }
        };
        self.killed = cue == Cue::Kill || (self.killed && cue != Cue::Revive);
        self.slowed = cue == Cue::Slow || (self.slowed && cue != Cue::Hasten);
        let (Event::Passing(time) | Event::Lasting(time)) = event;
        let seconds = time.as_secs();
        self.news = format!("{cause}: measuring for {seconds} s what that brings to whom.");
        self.watch.look(cause, event, now, before);
    }

    /// Ends the traffic, and says how everybody fared. usher still runs, or has settled all.
    fn finish(&mut self, ended: &Receiver<()>) -> u8 {
        let over = self.started.elapsed();
        if let Err(error) = self.stage.call(Cue::End) {
            tracing::error!("{error}");
        }
        let settled_by = Instant::now() + SETTLE_WAIT;
        let accounts = loop {
            let accounts = Account::all(self.stage.tallies(), &self.remote.metrics());
            let missing = |account: &Account| matches!(account.verdict(), Verdict::Missing(_));
            if !accounts.iter().any(missing) || Instant::now() >= settled_by {
                break accounts;
            }
            if ended.recv_timeout(POLL / 5) == Err(RecvTimeoutError::Disconnected) {
                break Account::all(self.stage.tallies(), &self.remote.metrics());
            }
        };
        let lately = self.watch.since_the_beginning(Instant::now(), readings(&self.remote));
        let mut lines = std::mem::take(&mut self.told);
        lines.extend(demo::summary(over, &lately, &accounts));
        let said = say(&(lines.join("\n") + "\n"));
        let adds_up = !accounts.iter().any(|it| matches!(it.verdict(), Verdict::Missing(_)));
        if said.is_ok() && adds_up { DONE } else { FAILED }
    }
}

// === impl Stopping ===

impl Drop for Stopping {
    fn drop(&mut self) {
        self.0.stop();
    }
}

// === free functions ===

fn say(text: &str) -> io::Result<()> {
    io::stdout().write_all(text.as_bytes())?;
    io::stdout().flush()
}
