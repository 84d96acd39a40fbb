//! `7d`.

use std::{str::FromStr, time::Duration};

/// How old something is at least: a whole number of seconds, minutes, hours, days or weeks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Age(pub(crate) Duration);

impl FromStr for Age {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const UNITS: [(char, u64); 5] =
            [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400), ('w', 604_800)];
        let form = "not a number and one of s, m, h, d and w, such as 12h or 7d";
        let (number, seconds) = UNITS
            .iter()
            .find_map(|(unit, seconds)| Some((text.strip_suffix(*unit)?, *seconds)))
            .ok_or(form)?;
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(form);
        }
        let number: u64 = number.parse().map_err(|_| form)?;
        match number.checked_mul(seconds) {
            None => Err("too long"),
            Some(0) => Err("everything is older than nothing"),
            Some(seconds) => Ok(Self(Duration::from_secs(seconds))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_a_unit() {
        for (text, seconds) in
            [("1s", 1), ("90m", 5400), ("12h", 43_200), ("7d", 604_800), ("2w", 1_209_600)]
        {
            assert_eq!(text.parse(), Ok(Age(Duration::from_secs(seconds))), "{text}");
        }
        for text in [
            "",
            "d",
            "7",
            "7 d",
            "7D",
            "+7d",
            "-7d",
            "1.5h",
            "0d",
            "7dd",
            "1d2h",
            "é",
            "99999999999999999w",
        ] {
            assert!(text.parse::<Age>().is_err(), "{text:?}");
        }
    }
}
