//! Quantities with units, as they stand in a configuration.

/// A share between 0 % and 100 %.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Percent(f64);
