//! The demo on a screen, as lines.

use std::time::Duration;

use super::script::Doors;
use crate::control::{AudienceView, PoolView, screen::audience_table};

/// The most audiences that are shown: all there are.
const AUDIENCES_MAX: usize = 8;

/// What there is to see at one moment.
pub struct View<'a> {
    /// Where usher is reached.
    pub doors: Doors,
    /// How long it has run.
    pub up: Duration,
    /// How the audiences fare.
    pub audiences: &'a [AudienceView],
    /// How the pools fare.
    pub pools: &'a [PoolView],
    /// Whether the customers' first endpoint is dead.
    pub killed: bool,
    /// Whether the restaurants' pool is slow.
    pub slowed: bool,
    /// What happened, and to whom; the last thing.
    pub news: &'a str,
}

/// The demo in lines of at most `width` characters.
pub fn lines(view: &View<'_>, width: usize) -> Vec<String> {
    let Doors { clients, control, metrics } = view.doors;
    let rate: f64 = view.audiences.iter().map(|audience| audience.rate).sum();
    let up = view.up.as_secs();
    let mut lines = vec![
        format!("usher demo: one monolith, four pools; {rate:.0} requests/s, up {up} s"),
        String::new(),
    ];
    lines.extend(audience_table(view.audiences, AUDIENCES_MAX, width));
    lines.push(String::new());
    let pools: Vec<String> = view.pools.iter().map(|pool| pool_words(pool, view)).collect();
    lines.extend(wrap(&format!("In the pools: {}.", pools.join(", ")), width));
    lines.push(String::new());
    lines.push(format!("a customer   curl -i http://{clients}/menus/7"));
    lines.push(format!("a driver     curl -i -H 'X-App: driver' http://{clients}/orders/7"));
    lines.push(format!("operators    usher status --control {control}"));
    lines.push(format!("Prometheus   curl http://{metrics}/metrics"));
    lines.push(String::new());
    lines.extend(wrap(&keys(view), width));
    if !view.news.is_empty() {
        lines.push(String::new());
        lines.extend(wrap(view.news, width));
    }
    lines
}

/// What is said once where there is no terminal.
pub fn opening(doors: Doors) -> String {
    let Doors { clients, control, metrics } = doors;
    format!(
        "usher demo: one monolith, four pools, four audiences\n\
         clients     http://{clients}   curl -i -H 'X-App: driver' http://{clients}/orders/7\n\
         operators   http://{control}   usher status --control {control}\n\
         Prometheus  http://{metrics}/metrics\n\
         Why who gets what: usher demo --print-config > demo.yaml; \
         usher explain --config demo.yaml GET /admin/reports/7\n"
    )
}

fn pool_words(pool: &PoolView, view: &View<'_>) -> String {
    use super::cast::{CAST, KILLED, SLOWED};
    let dead = if view.killed && pool.name == CAST[KILLED].name { ", one killed" } else { "" };
    let slow = if view.slowed && pool.name == CAST[SLOWED].name { ", slowed down" } else { "" };
    let (busy, slots) = (pool.in_flight, pool.capacity);
    format!("{} {busy} of {slots} slots{dead}{slow}", pool.name)
}

fn keys(view: &View<'_>) -> String {
    let kill = if view.killed { "k revive" } else { "k kill" };
    let slow = if view.slowed { "s restaurants back to normal" } else { "s slow restaurants down" };
    format!(
        "Keys: a flood the admins, {kill} a customers' endpoint, {slow}, c configuration, q quit"
    )
}

/// `text` in lines of at most `width` characters, broken between words where there are any.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        let line = &mut lines[last];
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::demo::cast::CAST;

    fn shown(width: usize, killed: bool, news: &str) -> Vec<String> {
        let audiences = CAST.each_ref().map(|part| AudienceView {
            name: part.name.to_owned(),
            rate: 10.0,
            ..AudienceView::default()
        });
        let pools = CAST.each_ref().map(|part| PoolView {
            name: part.name.to_owned(),
            capacity: part.threads as u64,
            ..PoolView::default()
        });
        let view = View {
            doors: Doors::usual(Ipv4Addr::LOCALHOST.into()),
            up: Duration::from_secs(12),
            audiences: &audiences,
            pools: &pools,
            killed,
            slowed: false,
            news,
        };
        lines(&view, width)
    }

    #[test]
    fn it_fits_a_usual_terminal_with_all_its_words() {
        let news = "what happened ".repeat(24);
        let lines = shown(80, true, &news);
        assert!(lines.len() <= 24, "{} lines", lines.len());
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{lines:#?}");
        let text = lines.join("\n");
        for word in ["40 requests/s", "up 12 s", "customer", "one killed", "k revive", "q quit"] {
            assert!(text.contains(word), "no {word} in\n{text}");
        }
    }

    #[test]
    fn news_are_last_and_need_no_room_when_there_are_none() {
        assert_eq!(shown(80, false, "all is well").last().map(String::as_str), Some("all is well"));
        assert_eq!(shown(80, false, "").len() + 2, shown(80, false, "all is well").len());
    }

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("", 8), [""]);
        assert_eq!(wrap("unbreakable", 4), ["unbreakable"]);
    }
}
