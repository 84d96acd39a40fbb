//! `--range`.

use std::str::FromStr;

/// Some bytes of a plaintext, as HTTP has it: both ends are included. (RFC 9110 §14.1.2.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ByteRange {
    /// `FIRST-LAST`, or `FIRST-` to the end.
    From(u64, Option<u64>),
    /// `-LENGTH`: the last bytes.
    Last(u64),
}

impl FromStr for ByteRange {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = "not FIRST-LAST, FIRST- or -LENGTH, in bytes";
        let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
            true => text.parse::<u64>().map_err(|_| form),
            false => Err(form),
        };
        match text.split_once('-').ok_or(form)? {
            ("", length) => match number(length)? {
                0 => Err("the last 0 bytes are none"),
                length => Ok(Self::Last(length)),
            },
            (first, "") => Ok(Self::From(number(first)?, None)),
            (first, last) => match (number(first)?, number(last)?) {
                (first, last) if last < first => Err("the last byte is before the first"),
                (first, last) => Ok(Self::From(first, Some(last))),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_http() {
        assert_eq!("0-99".parse(), Ok(ByteRange::From(0, Some(99))));
        assert_eq!("5-5".parse(), Ok(ByteRange::From(5, Some(5))));
        assert_eq!("100-".parse(), Ok(ByteRange::From(100, None)));
        assert_eq!("-100".parse(), Ok(ByteRange::Last(100)));
        for text in
            ["", "-", "5", "a-b", "1-+2", "9-8", "-0", "1-2-3", " 1-2", "99999999999999999999-"]
        {
            assert!(text.parse::<ByteRange>().is_err(), "{text:?}");
        }
    }
}
