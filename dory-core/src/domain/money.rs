//! Amounts of money, exact to a billionth.

use std::fmt;
use std::iter::Sum;
use std::ops::Add;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Billionths in one.
const ONE: u64 = 1_000_000_000;

/// Bytes in a gibibyte, by which stores charge.
const GIBIBYTE: u64 = 1 << 30;

/// An amount of some currency, or a price, in billionths: prices of single requests are small.
///
/// As data it is a text: `0.0012`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Amount(u64);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// So many billionths.
    #[must_use]
    pub const fn billionths(count: u64) -> Self {
        Self(count)
    }

    /// `count` of what costs this each, of which `per` are counted as one: 5,000 requests at a price per thousand.
    #[must_use]
    pub fn times(self, count: u64, per: u64) -> Self {
        let exact = u128::from(self.0) * u128::from(count) / u128::from(per.max(1));
        Self(u64::try_from(exact).unwrap_or(u64::MAX))
    }

    /// So many bytes of what costs this a gibibyte.
    #[must_use]
    pub fn for_bytes(self, bytes: u64) -> Self {
        self.times(bytes, GIBIBYTE)
    }

    /// As people read it, in hundredths: `1.19`. What is less than one of those and more than nothing is `< 0.01`.
    #[must_use]
    pub fn in_words(self, currency: &str) -> String {
        let hundredths = self.0.saturating_add(ONE / 200) / (ONE / 100);
        match hundredths {
            0 if self.0 > 0 => format!("< 0.01 {currency}"),
            _ => format!("{}.{:02} {currency}", hundredths / 100, hundredths % 100),
        }
    }
}

impl Add for Amount {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sum for Amount {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

impl FromStr for Amount {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::invalid("price", text, "a number such as `0.02` is expected, with at most nine decimals");
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(decimals) || decimals.len() > 9 {
            return Err(wrong());
        }
        let whole: u64 = whole.parse().map_err(|_| wrong())?;
        let decimals: u64 = format!("{decimals:0<9}").parse().map_err(|_| wrong())?;
        whole.checked_mul(ONE).and_then(|whole| whole.checked_add(decimals)).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = format!("{:09}", self.0 % ONE);
        match decimals.trim_end_matches('0') {
            "" => write!(f, "{}", self.0 / ONE),
            decimals => write!(f, "{}.{decimals}", self.0 / ONE),
        }
    }
}

impl TryFrom<String> for Amount {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Amount> for String {
    fn from(amount: Amount) -> Self {
        amount.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_read_and_written_exactly() {
        for text in ["0", "0.02", "0.0012", "12.5", "0.000000001"] {
            assert_eq!(text.parse::<Amount>().unwrap().to_string(), text);
        }
        for text in ["", "-1", "1,5", ".5", "1.", "0.0000000001", "1e3", "99999999999999999999", "20000000000"] {
            assert!(text.parse::<Amount>().is_err(), "{text}");
        }
    }

    #[test]
    fn people_read_hundredths() {
        let shown = |text: &str| text.parse::<Amount>().unwrap().in_words("USD");
        assert_eq!(
            ["0", "0.004", "0.005", "1.194", "1.195"].map(shown),
            ["0.00 USD", "< 0.01 USD", "0.01 USD", "1.19 USD", "1.20 USD"]
        );
    }
}
