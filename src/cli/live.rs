//! A terminal that shows a table which changes in place, and takes keys.
//!
//! It is the whole terminal, as a pager has it, and what stood there comes back at the end,
//! whichever end that is: dropping it gives the terminal back. While it lasts the log does not
//! write over the table; its last lines can be shown below, and it is written out at the end.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal, Write},
    time::Duration,
};

use crossterm::{
    cursor::{Hide, MoveTo, Show},
    event::{self, Event, KeyCode, KeyEventKind, KeyModifiers},
    execute,
    style::Print,
    terminal::{
        self, BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate,
        EnterAlternateScreen, LeaveAlternateScreen,
    },
};

use crate::telemetry::Aside;

/// What a terminal is taken for that does not tell its size.
const SIZE: (u16, u16) = (80, 24);

/// The terminal, while it is ours.
pub struct Screen {
    aside: Aside,
}

/// What somebody pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A letter.
    Letter(char),
    /// The wish to leave: `q`, Ctrl-C, or a terminal that has gone.
    Quit,
}

// === impl Screen ===

impl Screen {
    /// Takes the terminal. None where standard input or output is none, or it cannot be taken.
    pub fn open() -> Option<Self> {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return None;
        }
        terminal::enable_raw_mode().ok()?;
        // From here on dropping it gives the terminal back.
        let screen = Self { aside: Aside::begin() };
        execute!(io::stdout(), EnterAlternateScreen, Hide).ok()?;
        Some(screen)
    }

    /// How many characters a line holds.
    pub fn width(&self) -> usize {
        usize::from(size().0)
    }

    /// Shows `lines`, and the log's last ones below them where there is room.
    pub fn draw(&self, lines: &[String]) {
        let (columns, rows) = size();
        let (width, height) = (usize::from(columns), usize::from(rows));
        let log = self.aside.last(height.saturating_sub(lines.len() + 1));
        let text = frame(lines, &log, width, height);
        let drawn = execute!(
            io::stdout(),
            BeginSynchronizedUpdate,
            MoveTo(0, 0),
            Print(text),
            Clear(ClearType::FromCursorDown),
            EndSynchronizedUpdate
        );
        // A terminal that has gone is noticed by `key`.
        let _ = drawn.and_then(|()| io::stdout().flush());
    }

    /// The next key, if one is pressed within `wait`.
    pub fn key(&self, wait: Duration) -> Option<Key> {
        match event::poll(wait) {
            Ok(false) => None,
            Ok(true) => event::read().map_or(Some(Key::Quit), |event| key(&event)),
            Err(_) => Some(Key::Quit),
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // What cannot be given back has gone.
        let _ = execute!(io::stdout(), Show, LeaveAlternateScreen);
        let _ = terminal::disable_raw_mode();
    }
}

// === free functions ===

fn size() -> (u16, u16) {
    match terminal::size() {
        Ok((columns, rows)) if columns > 0 && rows > 0 => (columns, rows),
        _ => SIZE,
    }
}

fn key(event: &Event) -> Option<Key> {
    let Event::Key(pressed) = event else { return None };
    if pressed.kind == KeyEventKind::Release {
        return None;
    }
    let control = pressed.modifiers.contains(KeyModifiers::CONTROL);
    match pressed.code {
        KeyCode::Char('c' | 'C' | 'd' | '\\') if control => Some(Key::Quit),
        KeyCode::Char('q' | 'Q') | KeyCode::Esc => Some(Key::Quit),
        KeyCode::Char(letter) if !control => Some(Key::Letter(letter.to_ascii_lowercase())),
        _ => None,
    }
}

/// A screen of `height` lines of `width`: `lines`, an empty one and `log`. Each clears what stood
/// behind it; the last is not ended, so that nothing scrolls.
fn frame(lines: &[String], log: &[String], width: usize, height: usize) -> String {
    let gap = if log.is_empty() { None } else { Some(String::new()) };
    let all = lines.iter().chain(&gap).chain(log).take(height);
    let mut text = String::new();
    for (index, line) in all.enumerate() {
        if index > 0 {
            text.push_str("\r\n");
        }
        // A String takes whatever is written to it.
        let _ = write!(text, "{}", crate::control::screen::cut(line, width));
        text.push_str("\u{1b}[K");
    }
    text
}

#[cfg(test)]
mod tests {
    use crossterm::event::KeyEvent;

    use super::*;

    fn texts(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn a_frame_clears_behind_each_line_and_never_scrolls() {
        let shown = frame(&texts(&["one", "two"]), &texts(&["log"]), 80, 24);
        assert_eq!(shown, "one\u{1b}[K\r\ntwo\u{1b}[K\r\n\u{1b}[K\r\nlog\u{1b}[K");
        assert_eq!(frame(&texts(&["one"]), &[], 80, 24), "one\u{1b}[K");
    }

    #[test]
    fn a_frame_is_no_larger_than_the_screen() {
        let shown = frame(&texts(&["abcdef", "b", "c", "d"]), &texts(&["log"]), 4, 3);
        assert_eq!(shown, "abc…\u{1b}[K\r\nb\u{1b}[K\r\nc\u{1b}[K");
    }

    #[test]
    fn a_line_cannot_move_the_cursor() {
        assert_eq!(frame(&texts(&["a\u{1b}[2Jb\n"]), &[], 80, 24), "a?[2Jb?\u{1b}[K");
    }

    #[test]
    fn there_are_three_ways_to_leave_and_letters_have_no_case() {
        let press = |code, modifiers| key(&Event::Key(KeyEvent::new(code, modifiers)));
        assert_eq!(press(KeyCode::Char('q'), KeyModifiers::NONE), Some(Key::Quit));
        assert_eq!(press(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Key::Quit));
        assert_eq!(press(KeyCode::Esc, KeyModifiers::NONE), Some(Key::Quit));
        assert_eq!(press(KeyCode::Char('A'), KeyModifiers::SHIFT), Some(Key::Letter('a')));
        assert_eq!(press(KeyCode::Char('a'), KeyModifiers::CONTROL), None);
        assert_eq!(press(KeyCode::Up, KeyModifiers::NONE), None);
    }
}
