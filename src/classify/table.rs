//! A set of users, each with a value or without one, in little memory.
//!
//! Of a user nothing is kept but 128 bits that a keyed hash makes of the id, and the number of its
//! value: 16 to 24 bytes a line, however long the ids are. The keys are drawn anew for each
//! process, so nobody outside can look for two ids that become the same; that two of a million do
//! by chance has a probability of about 2⁻⁸⁹.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    sync::OnceLock,
};

use rustc_hash::FxHashMap;

/// The most lines of a table.
pub const LINES_MAX: usize = 10_000_000;

/// The longest id and the longest value, in bytes.
pub const WORD_BYTES_MAX: usize = 256;

/// The most different values of a table: they are a few plans or cohorts, not one for each user.
pub const VALUES_MAX: usize = 65_535;

/// Users, and what stands beside each.
pub struct Table {
    /// Open addressing with linear steps; 0 is an empty place.
    places: Box<[u128]>,
    /// For each place the number of its value; empty when no line has one.
    numbers: Box<[u16]>,
    values: Box<[Box<str>]>,
    lines: usize,
}

/// A table that is being read.
#[derive(Default)]
pub struct TableBuilder {
    users: Vec<u128>,
    numbers: Vec<u16>,
    values: Vec<Box<str>>,
    known: FxHashMap<Box<str>, u16>,
}

/// Why a line cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// There is a value and no id before it.
    #[error("there is no id before the comma")]
    NoId,
    /// The id or the value is too long.
    #[error("an id and a value have at most {WORD_BYTES_MAX} bytes")]
    Long,
    /// There are too many lines.
    #[error("a table has at most {LINES_MAX} lines")]
    Lines,
    /// There are too many different values.
    #[error("a table has at most {VALUES_MAX} different values")]
    Values,
}

// === impl Table ===

impl Table {
    /// What stands beside `user`: an empty text when nothing does, `None` when they are not in it.
    pub fn find(&self, user: &str) -> Option<&str> {
        if self.places.is_empty() {
            return None;
        }
        let hash = hash(user);
        let mut place = first_place(hash, self.places.len());
        // There is always an empty place: at most three of four are taken.
        loop {
            match self.places[place] {
                0 => return None,
                found if found == hash => break,
                _ => place = if place + 1 == self.places.len() { 0 } else { place + 1 },
            }
        }
        let number = self.numbers.get(place).copied().unwrap_or(0);
        Some(&self.values[usize::from(number)])
    }

    /// How many users are in it.
    pub fn lines(&self) -> usize {
        self.lines
    }

    /// How much memory it takes, in bytes.
    pub fn bytes(&self) -> usize {
        let values: usize = self.values.iter().map(|value| value.len() + 16).sum();
        self.places.len() * 16 + self.numbers.len() * 2 + values
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("lines", &self.lines).finish_non_exhaustive()
    }
}

// === impl TableBuilder ===

impl TableBuilder {
    /// Takes a line: an id, or `id,value`. Empty lines and those that begin with `#` say nothing.
    ///
    /// # Errors
    /// It is no such line.
    pub fn line(&mut self, line: &str) -> Result<(), LineError> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        let (id, value) = line.split_once(',').unwrap_or((line, ""));
        let (id, value) = (id.trim_end(), value.trim_start());
        if id.is_empty() {
            return Err(LineError::NoId);
        }
        if id.len() > WORD_BYTES_MAX || value.len() > WORD_BYTES_MAX {
            return Err(LineError::Long);
        }
        if self.users.len() == LINES_MAX {
            return Err(LineError::Lines);
        }
        let number = self.number(value)?;
        self.users.push(hash(id));
        self.numbers.push(number);
        Ok(())
    }

    /// The table. Where an id stands twice, its last line counts.
    pub fn finish(self) -> Table {
        let Self { users, numbers, mut values, .. } = self;
        if values.is_empty() {
            values.push("".into());
        }
        let plain = numbers.iter().all(|&number| number == 0);
        let places = if users.is_empty() { 0 } else { users.len() + users.len() / 3 + 1 };
        let mut table = Table {
            places: vec![0; places].into(),
            numbers: vec![0; if plain { 0 } else { places }].into(),
            values: values.into(),
            lines: 0,
        };
        for (user, number) in users.into_iter().zip(numbers) {
            table.put(user, number);
        }
        table
    }

    /// The number of `value`; that of none is 0.
    fn number(&mut self, value: &str) -> Result<u16, LineError> {
        if self.values.is_empty() {
            self.values.push("".into());
            self.known.insert("".into(), 0);
        }
        if let Some(&number) = self.known.get(value) {
            return Ok(number);
        }
        if self.values.len() > VALUES_MAX {
            return Err(LineError::Values);
        }
        let number = u16::try_from(self.values.len()).map_err(|_| LineError::Values)?;
        self.values.push(value.into());
        self.known.insert(value.into(), number);
        Ok(number)
    }
}

impl Table {
    fn put(&mut self, user: u128, number: u16) {
        let mut place = first_place(user, self.places.len());
        while self.places[place] != 0 && self.places[place] != user {
            place = if place + 1 == self.places.len() { 0 } else { place + 1 };
        }
        self.lines += usize::from(self.places[place] == 0);
        self.places[place] = user;
        if let Some(known) = self.numbers.get_mut(place) {
            *known = number;
        }
    }
}

/// Where the search for a hash begins: its upper half as a fraction of the places.
fn first_place(hash: u128, places: usize) -> usize {
    let upper = (hash >> 64) as u64;
    ((u128::from(upper) * places as u128) >> 64) as usize
}

/// 128 bits of `id` under two keys of this process; never 0.
fn hash(id: &str) -> u128 {
    static KEYS: OnceLock<[RandomState; 2]> = OnceLock::new();
    let [upper, lower] = KEYS.get_or_init(Default::default);
    let half = |key: &RandomState| {
        let mut hasher = key.build_hasher();
        hasher.write(id.as_bytes());
        u128::from(hasher.finish())
    };
    (half(upper) << 64 | half(lower)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        let mut builder = TableBuilder::default();
        text.lines().for_each(|line| builder.line(line).expect("a line"));
        builder.finish()
    }

    #[test]
    fn a_line_is_a_user_with_a_value_or_without_one() {
        let table = table("# VIPs\n17\n 18 \n\n19,gold\nüber ,silver\n20, gold\n19,silver\n");
        assert_eq!(table.find("17"), Some(""));
        assert_eq!(table.find("18"), Some(""));
        assert_eq!(table.find("19"), Some("silver"), "the last line of a user counts");
        assert_eq!(table.find("20"), Some("gold"));
        assert_eq!(table.find("über"), Some("silver"));
        for nobody in ["", "1", "# VIPs", "19,gold", "gold"] {
            assert_eq!(table.find(nobody), None, "{nobody}");
        }
        assert_eq!(table.lines(), 5);
    }

    #[test]
    fn an_empty_table_has_nobody_in_it() {
        assert_eq!(table("").find("1"), None);
        assert_eq!(table("\n#\n").lines(), 0);
        assert_eq!(table("1\n").find("2"), None);
    }

    #[test]
    fn a_line_that_is_none_is_said_to_be_so() {
        let mut builder = TableBuilder::default();
        assert_eq!(builder.line(",gold"), Err(LineError::NoId));
        assert_eq!(builder.line(&"x".repeat(257)), Err(LineError::Long));
        for value in 1..VALUES_MAX + 1 {
            builder.line(&format!("{value},{value}")).expect("a value");
        }
        assert_eq!(builder.line("x,one more"), Err(LineError::Values));
    }

    #[test]
    fn all_of_many_users_are_found_and_nobody_else() {
        let mut builder = TableBuilder::default();
        for id in 0..100_000 {
            builder.line(&format!("{id},{}", id % 7)).expect("a line");
        }
        let table = builder.finish();
        assert_eq!(table.lines(), 100_000);
        for id in 0..100_000 {
            assert_eq!(table.find(&id.to_string()), Some(&*(id % 7).to_string()));
        }
        assert!((100_000..200_000).all(|id| table.find(&id.to_string()).is_none()));
    }

    #[test]
    fn a_million_lines_take_less_than_40_megabytes() {
        let mut builder = TableBuilder::default();
        for id in 0..1_000_000 {
            builder.line(&format!("3f2a91c0-0000-4000-8000-{id:012},{}", id % 3)).expect("a line");
        }
        let table = builder.finish();
        assert_eq!(table.lines(), 1_000_000);
        assert!(table.bytes() < 25_000_000, "{}", table.bytes());
    }
}
