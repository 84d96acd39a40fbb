//! Modification times of files in object metadata, which show that a file is unchanged.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

/// Name in the user-defined metadata. Name and value (seconds since 1970 with a fraction) are those
/// of rclone: before 1970, the number is negative.
pub(crate) const NAME: &str = "mtime";

/// Returns the metadata value of a time.
pub(crate) fn text(modified: SystemTime) -> String {
    let (sign, distance) = match modified.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => ("", since),
        Err(before) => ("-", before.duration()),
    };
    format!("{sign}{}.{:09}", distance.as_secs(), distance.subsec_nanos())
}

/// Returns the time in an object's user-defined metadata.
pub(crate) fn of(metadata: &HashMap<String, String>) -> Option<SystemTime> {
    let stored = metadata.get(NAME)?;
    let (is_before, text) = match stored.strip_prefix('-') {
        Some(text) => (true, text),
        None => (false, stored.as_str()),
    };
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(seconds) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let nanoseconds = format!("{fraction:0<9}").parse().ok()?;
    let distance = Duration::new(seconds.parse().ok()?, nanoseconds);
    if is_before {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_times_are_read_back() {
        let time = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 50);
        let stored = |text: &str| of(&HashMap::from([(NAME.to_owned(), text.to_owned())]));
        assert_eq!(text(time), "1700000000.000000050");
        // 1969-12-31T23:59:58.500Z, as rclone writes it.
        let before = SystemTime::UNIX_EPOCH - Duration::from_millis(1_500);
        assert_eq!(text(before), "-1.500000000");
        assert_eq!(stored("-1.5"), Some(before));
        assert_eq!(stored("1700000000.000000050"), Some(time));
        assert_eq!(
            stored("1700000000.5"),
            Some(SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_500))
        );
        assert_eq!(stored("7"), Some(SystemTime::UNIX_EPOCH + Duration::from_secs(7)));
        for bad in [
            "",
            "-",
            "--1",
            "-.",
            "1.-5",
            "1.0000000001",
            "1e9",
            "x",
            "1.2.3",
            "99999999999999999999",
        ] {
            assert_eq!(stored(bad), None, "{bad:?}");
        }
    }
}
