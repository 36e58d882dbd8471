//! Quantities with units, as they stand in a configuration.
//!
//! Every one of them is written as a number and its unit without a space: `300ms`, `64KiB`,
//! `1KiB/s`, `99.9%`. A bare number is an error, because two readers would take it for two things.

use std::{fmt, time::Duration};

/// The longest duration: ten years.
pub const DURATION_MAX: Duration = Duration::from_secs(10 * 365 * 86_400);

/// The most that may happen in a second.
const FREQUENCY_MAX: u64 = 1_000_000;

/// The largest size: 1 PiB.
pub const SIZE_BYTES_MAX: u64 = 1 << 50;

const NANOSECONDS: &[(&str, u64)] = &[
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60 * 1_000_000_000),
    ("h", 3_600 * 1_000_000_000),
    ("d", 86_400 * 1_000_000_000),
];

const BYTES: &[(&str, u64)] =
    &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

/// Times in which requests are counted.
const TIMES: &[(&str, u64)] = &[("s", 1), ("min", 60), ("h", 3_600)];

/// A share between 0 % and 100 %.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Percent(f64);

/// What a text was to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// `300ms`
    Duration,
    /// `64KiB`
    Size,
    /// `1KiB/s`
    Rate,
    /// `99.9%`
    Percent,
    /// `10/s`
    Frequency,
}

/// Why a text is no quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// There is nothing before the unit, or something that is no number.
    #[error("it does not begin with a number")]
    NoNumber(Quantity),
    /// A bare number.
    #[error("a bare number needs a unit ({})", .0.units())]
    NoUnit(Quantity),
    /// A unit that does not exist.
    #[error("its unit is none of {}", .0.units())]
    UnknownUnit(Quantity),
    /// Digits that vanish in the smallest unit.
    #[error("it is finer than what can be told apart")]
    TooFine(Quantity),
    /// More than the largest.
    #[error("it is more than the largest, {}", .0.largest())]
    TooLarge(Quantity),
}

/// Reads a duration such as `300ms`, `1.5s` or `1h`; at most [`DURATION_MAX`].
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let nanoseconds = parse(text, NANOSECONDS, Quantity::Duration)?;
    let duration = Duration::from_nanos(nanoseconds);
    if duration > DURATION_MAX {
        return Err(UnitError::TooLarge(Quantity::Duration));
    }
    Ok(duration)
}

/// Reads a size such as `64KiB`, in bytes; at most [`SIZE_BYTES_MAX`].
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let bytes = parse(text, BYTES, Quantity::Size)?;
    if bytes > SIZE_BYTES_MAX {
        return Err(UnitError::TooLarge(Quantity::Size));
    }
    Ok(bytes)
}

/// Reads a rate such as `1KiB/s`, in bytes a second; at most [`SIZE_BYTES_MAX`].
pub fn parse_rate(text: &str) -> Result<u64, UnitError> {
    let Some(size) = text.strip_suffix("/s") else {
        let bare = text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty();
        let error = if bare { UnitError::NoUnit } else { UnitError::UnknownUnit };
        return Err(error(Quantity::Rate));
    };
    let bytes = parse(size, BYTES, Quantity::Rate)?;
    if bytes > SIZE_BYTES_MAX {
        return Err(UnitError::TooLarge(Quantity::Rate));
    }
    Ok(bytes)
}

/// Reads how often something may be, such as `10/s`, `600/min` or `1000/h`: so many in a time.
pub fn parse_frequency(text: &str) -> Result<(u32, Duration), UnitError> {
    let of = Quantity::Frequency;
    let (number, rest) = split(text);
    if number.is_empty() || number.contains('.') {
        return Err(UnitError::NoNumber(of));
    }
    if rest.is_empty() {
        return Err(UnitError::NoUnit(of));
    }
    let time = rest.strip_prefix('/').and_then(|unit| TIMES.iter().find(|(name, _)| *name == unit));
    let (_, seconds) = time.ok_or(UnitError::UnknownUnit(of))?;
    let count: u32 = number.parse().map_err(|_| UnitError::TooLarge(of))?;
    if u64::from(count) > FREQUENCY_MAX * seconds {
        return Err(UnitError::TooLarge(of));
    }
    Ok((count, Duration::from_secs(*seconds)))
}

/// How often, as it would be written.
pub fn format_frequency(count: u32, per: Duration) -> String {
    let unit = TIMES.iter().find(|(_, seconds)| *seconds == per.as_secs());
    format!("{count}/{}", unit.map_or("s", |(name, _)| name))
}

/// A duration as it would be written, in the largest unit that needs no fraction.
pub fn format_duration(duration: Duration) -> String {
    let nanoseconds = duration.as_nanos();
    let fits = |(_, per): &&(&str, u64)| nanoseconds.is_multiple_of(u128::from(*per));
    match NANOSECONDS.iter().rev().find(fits) {
        _ if nanoseconds == 0 => "0s".to_owned(),
        Some((unit, per)) => format!("{}{unit}", nanoseconds / u128::from(*per)),
        None => format!("{nanoseconds}ns"),
    }
}

/// A size as it would be written, in the largest unit that needs no fraction.
pub fn format_size(bytes: u64) -> String {
    match BYTES.iter().rev().find(|(_, per)| bytes.is_multiple_of(*per)) {
        Some((unit, per)) if bytes > 0 => format!("{}{unit}", bytes / per),
        _ => format!("{bytes}B"),
    }
}

// === impl Percent ===

impl Percent {
    /// Reads a percentage such as `99.9%`.
    pub fn parse(text: &str) -> Result<Self, UnitError> {
        let Some(number) = text.strip_suffix('%') else {
            let (number, rest) = split(text);
            return Err(match (number.is_empty(), rest.is_empty()) {
                (true, _) => UnitError::NoNumber(Quantity::Percent),
                (false, true) => UnitError::NoUnit(Quantity::Percent),
                (false, false) => UnitError::UnknownUnit(Quantity::Percent),
            });
        };
        let plain = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let value = number.parse::<f64>().ok().filter(|_| plain);
        match value {
            None => Err(UnitError::NoNumber(Quantity::Percent)),
            Some(value) if value > 100.0 => Err(UnitError::TooLarge(Quantity::Percent)),
            Some(value) => Ok(Self(value)),
        }
    }

    /// A share of one, as a percentage with at most one digit behind the point.
    pub fn of_share(share: f64) -> Self {
        Self((share.clamp(0.0, 1.0) * 1_000.0).round() / 10.0)
    }

    /// The number before the `%`: 0 to 100.
    pub const fn percent(self) -> f64 {
        self.0
    }

    /// The share of one: 0 to 1.
    pub const fn ratio(self) -> f64 {
        self.0 / 100.0
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

// === impl Quantity ===

impl Quantity {
    /// With its article, for messages.
    pub const fn noun(self) -> &'static str {
        match self {
            Quantity::Duration => "duration",
            Quantity::Size => "size",
            Quantity::Rate => "rate",
            Quantity::Percent => "percentage",
            Quantity::Frequency => "number of requests in a time",
        }
    }

    /// The units there are.
    pub const fn units(self) -> &'static str {
        match self {
            Quantity::Duration => "us, ms, s, m, h, d",
            Quantity::Size => "B, KiB, MiB, GiB, TiB",
            Quantity::Rate => "B/s, KiB/s, MiB/s, GiB/s, TiB/s",
            Quantity::Percent => "%",
            Quantity::Frequency => "/s, /min, /h",
        }
    }

    /// One that is right.
    pub const fn example(self) -> &'static str {
        match self {
            Quantity::Duration => "300ms",
            Quantity::Size => "64KiB",
            Quantity::Rate => "1KiB/s",
            Quantity::Percent => "99.9%",
            Quantity::Frequency => "10/s",
        }
    }

    const fn largest(self) -> &'static str {
        match self {
            Quantity::Duration => "3650d",
            Quantity::Size => "1024TiB",
            Quantity::Rate => "1024TiB/s",
            Quantity::Percent => "100%",
            Quantity::Frequency => "1000000/s",
        }
    }
}

// === impl UnitError ===

impl UnitError {
    /// What the text was to be.
    pub const fn quantity(self) -> Quantity {
        match self {
            UnitError::NoNumber(quantity)
            | UnitError::NoUnit(quantity)
            | UnitError::UnknownUnit(quantity)
            | UnitError::TooFine(quantity)
            | UnitError::TooLarge(quantity) => quantity,
        }
    }
}

/// `NUMBER[.FRACTION]UNIT` in the smallest unit, without floating point: `0.1s` is 100 ms exactly.
fn parse(text: &str, units: &[(&str, u64)], quantity: Quantity) -> Result<u64, UnitError> {
    let (number, unit) = split(text);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let dot_is_right = !number.contains('.') || !fraction.is_empty();
    if whole.is_empty() || !dot_is_right || fraction.contains('.') {
        return Err(UnitError::NoNumber(quantity));
    }
    if unit.is_empty() {
        return Err(UnitError::NoUnit(quantity));
    }
    let (_, per) =
        *units.iter().find(|(name, _)| *name == unit).ok_or(UnitError::UnknownUnit(quantity))?;
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > 15 {
        return Err(UnitError::TooFine(quantity));
    }
    let too_large = UnitError::TooLarge(quantity);
    let scale = 10_u128.pow(u32::try_from(fraction.len()).unwrap_or(0));
    let whole: u128 = whole.parse::<u64>().map_err(|_| too_large)?.into();
    let fraction: u128 = if fraction.is_empty() { 0 } else { fraction.parse().unwrap_or(0) };
    let scaled = (whole * scale + fraction) * u128::from(per);
    if !scaled.is_multiple_of(scale) {
        return Err(UnitError::TooFine(quantity));
    }
    u64::try_from(scaled / scale).map_err(|_| too_large)
}

fn split(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_and_its_unit() {
        let cases = [
            ("300ms", 300),
            ("1.5s", 1_500),
            ("0.1s", 100),
            ("0s", 0),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("1d", 86_400_000),
        ];
        for (text, milliseconds) in cases {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        assert_eq!(parse_duration("5us"), Ok(Duration::from_micros(5)));
    }

    #[test]
    fn what_is_no_duration_says_why() {
        let of = Quantity::Duration;
        for (text, error) in [
            ("5", UnitError::NoUnit(of)),
            ("", UnitError::NoNumber(of)),
            ("s", UnitError::NoNumber(of)),
            ("-5s", UnitError::NoNumber(of)),
            ("1.s", UnitError::NoNumber(of)),
            ("1.2.3s", UnitError::NoNumber(of)),
            ("5 s", UnitError::UnknownUnit(of)),
            ("5sec", UnitError::UnknownUnit(of)),
            ("1.0005us", UnitError::TooFine(of)),
            ("1.0000000000000001s", UnitError::TooFine(of)),
            ("3651d", UnitError::TooLarge(of)),
            ("99999999999999999999s", UnitError::TooLarge(of)),
        ] {
            assert_eq!(parse_duration(text), Err(error), "{text}");
        }
    }

    #[test]
    fn sizes_and_rates_are_binary() {
        assert_eq!(parse_size("64KiB"), Ok(65_536));
        assert_eq!(parse_size("1.5MiB"), Ok(1_572_864));
        assert_eq!(parse_size("64KB"), Err(UnitError::UnknownUnit(Quantity::Size)));
        assert_eq!(parse_size("64"), Err(UnitError::NoUnit(Quantity::Size)));
        assert_eq!(parse_size("1025TiB"), Err(UnitError::TooLarge(Quantity::Size)));
        assert_eq!(parse_rate("1KiB/s"), Ok(1_024));
        assert_eq!(parse_rate("1KiB"), Err(UnitError::UnknownUnit(Quantity::Rate)));
        assert_eq!(parse_rate("100"), Err(UnitError::NoUnit(Quantity::Rate)));
    }

    #[test]
    fn how_often_is_a_number_and_a_time() {
        let of = Quantity::Frequency;
        let second = Duration::from_secs(1);
        assert_eq!(parse_frequency("10/s"), Ok((10, second)));
        assert_eq!(parse_frequency("600/min"), Ok((600, 60 * second)));
        assert_eq!(parse_frequency("1000/h"), Ok((1000, 3_600 * second)));
        for (text, error) in [
            ("10", UnitError::NoUnit(of)),
            ("/s", UnitError::NoNumber(of)),
            ("1.5/s", UnitError::NoNumber(of)),
            ("10/m", UnitError::UnknownUnit(of)),
            ("10 per second", UnitError::UnknownUnit(of)),
            ("1000001/s", UnitError::TooLarge(of)),
            ("99999999999/h", UnitError::TooLarge(of)),
        ] {
            assert_eq!(parse_frequency(text), Err(error), "{text}");
        }
    }

    #[test]
    fn a_percentage_lies_between_0_and_100() {
        assert_eq!(Percent::parse("99.95%").map(|p| p.to_string()), Ok("99.95%".to_owned()));
        assert_eq!(Percent::parse("0%").map(Percent::ratio), Ok(0.0));
        assert_eq!(Percent::parse("100%").map(Percent::ratio), Ok(1.0));
        assert_eq!(Percent::parse("99"), Err(UnitError::NoUnit(Quantity::Percent)));
        assert_eq!(Percent::parse("101%"), Err(UnitError::TooLarge(Quantity::Percent)));
        assert_eq!(Percent::parse("-1%"), Err(UnitError::NoNumber(Quantity::Percent)));
        assert_eq!(Percent::parse("infinity%"), Err(UnitError::NoNumber(Quantity::Percent)));
    }

    #[test]
    fn what_is_formatted_reads_back_as_the_same() {
        for text in ["0s", "300ms", "90s", "2m", "1h", "10d", "7us"] {
            assert_eq!(parse_duration(text).map(format_duration), Ok(text.to_owned()));
        }
        for text in ["0B", "1023B", "16KiB", "3MiB", "1GiB"] {
            assert_eq!(parse_size(text).map(format_size), Ok(text.to_owned()));
        }
    }
}
