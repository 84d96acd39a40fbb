//! Numbers, sizes and times in words.

use std::time::Duration;

/// Returns a number with its thousands separated, such as `12,345`.
pub(crate) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns a number of bytes with three digits, such as `29.3 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} {}", if bytes == 1 { "byte" } else { "bytes" });
    }
    let mut power = bytes.ilog2() as usize / 10;
    let in_unit = |power: usize| bytes as f64 / 1024_f64.powi(i32::try_from(power).unwrap_or(6));
    // 1023.6 KiB is 1.00 MiB.
    if in_unit(power) >= 1023.5 && power < UNITS.len() {
        power += 1;
    }
    format!("{} {}", three_digits(in_unit(power)), UNITS[power - 1])
}

/// Returns a measured time, such as `12 ms`, `1.24 s` or `3 min 20 s`.
pub(crate) fn elapsed(time: Duration) -> String {
    match time.as_micros() {
        0 => "0 ms".to_owned(),
        1..1000 => "under 1 ms".to_owned(),
        1000..10_000 => format!("{:.1} ms", time.as_secs_f64() * 1e3),
        10_000..999_500 => format!("{:.0} ms", time.as_secs_f64() * 1e3),
        999_500..59_950_000 => format!("{} s", three_digits(time.as_secs_f64())),
        _ => span(time),
    }
}

/// Returns a span of time in its two largest units, such as `34 s`, `15 min` or `2 d 4 h`.
pub(crate) fn span(time: Duration) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    let seconds = time.as_secs();
    let Some(first) = UNITS.iter().position(|(unit, _)| seconds >= *unit) else {
        return "0 s".to_owned();
    };
    let (unit, name) = UNITS[first];
    let mut text = format!("{} {name}", number(seconds / unit));
    if let Some((next, name)) = UNITS.get(first + 1)
        && seconds % unit / next > 0
    {
        text.push_str(&format!(" {} {name}", seconds % unit / next));
    }
    text
}

/// Returns a part of a whole, such as `2.3 %`. Neither 0 nor 100 % is said of anything else.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    if part == 0 || whole == 0 {
        return "0 %".to_owned();
    }
    if part >= whole {
        return "100 %".to_owned();
    }
    let percent = part as f64 * 100.0 / whole as f64;
    format!("{:.1} %", percent.clamp(0.1, 99.9))
}

/// Returns a number below 1024 with three digits.
pub(crate) fn three_digits(number: f64) -> String {
    match number {
        ..9.995 => format!("{number:.2}"),
        ..99.95 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_separated_thousands() {
        let numbers = [0, 999, 1000, 12_345, 1_234_567].map(number);
        assert_eq!(numbers, ["0", "999", "1,000", "12,345", "1,234,567"]);
    }

    #[test]
    fn sizes_have_three_digits() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (1023, "1023 bytes"),
            (1024, "1.00 KiB"),
            (709_058, "692 KiB"),
            (30_758_401, "29.3 MiB"),
            ((1 << 20) - 1, "1.00 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn times_are_in_their_units() {
        for (micros, text) in [
            (0, "0 ms"),
            (20, "under 1 ms"),
            (1240, "1.2 ms"),
            (12_400, "12 ms"),
            (999_499, "999 ms"),
            (999_500, "1.00 s"),
            (12_345_000, "12.3 s"),
            (59_950_000, "59 s"),
            (200_000_000, "3 min 20 s"),
        ] {
            assert_eq!(elapsed(Duration::from_micros(micros)), text);
        }
        for (seconds, text) in [
            (0, "0 s"),
            (34, "34 s"),
            (900, "15 min"),
            (3661, "1 h 1 min"),
            (187_200, "2 d 4 h"),
            (86_400 * 1200, "1,200 d"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn parts_are_never_rounded_to_none_or_all() {
        let of = |part, whole| percent(part, whole);
        assert_eq!([of(0, 7), of(1, 1_000_000), of(23, 1000)], ["0 %", "0.1 %", "2.3 %"]);
        assert_eq!([of(999_999, 1_000_000), of(7, 7), of(0, 0)], ["99.9 %", "100 %", "0 %"]);
    }
}
