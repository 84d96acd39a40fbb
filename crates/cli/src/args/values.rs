//! Values of arguments, checked when the command line is parsed.

use std::{
    num::NonZeroU64,
    str::FromStr,
    time::{Duration, SystemTime},
};

use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use sealwax_s3::{ByteRate, envelope::EncryptionContext};

use crate::failure::Failure;

/// Span of time: a whole number of seconds, minutes, hours, days or weeks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimeSpan(pub(crate) Duration);

impl FromStr for TimeSpan {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const UNITS: [(char, u64); 5] =
            [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400), ('w', 604_800)];
        let form = "must be a number with a unit of s, m, h, d or w, such as 12h or 7d";
        let (number, seconds) = UNITS
            .iter()
            .find_map(|(unit, seconds)| Some((text.strip_suffix(*unit)?, *seconds)))
            .ok_or(form)?;
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(form);
        }
        let number: u64 = number.parse().map_err(|_| form)?;
        match number.checked_mul(seconds) {
            None => Err("too large"),
            Some(0) => Err("must be greater than 0"),
            Some(seconds) => Ok(Self(Duration::from_secs(seconds))),
        }
    }
}

/// Number of bytes per second, with a unit of 1,024: K, M or G.
#[derive(Debug, Clone)]
pub(crate) struct LimitRate(pub(crate) ByteRate);

impl FromStr for LimitRate {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "must be a number of bytes per second, such as 500K or 10M";
        let upper = text.to_ascii_uppercase();
        let units = [("K", 10), ("M", 20), ("G", 30)];
        let (number, shift) = units
            .iter()
            .find_map(|(unit, shift)| Some((upper.strip_suffix(unit)?, *shift)))
            .unwrap_or((&upper, 0));
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(FORM);
        }
        let number: u64 = number.parse().map_err(|_| FORM)?;
        let bytes = number.checked_mul(1 << shift).ok_or("too large")?;
        // A transfer makes progress at 1 KiB a second.
        let bytes = NonZeroU64::new(bytes).filter(|bytes| bytes.get() >= 1024);
        bytes.map(ByteRate::per_second).map(Self).ok_or("must be at least 1K")
    }
}

/// Time in UTC, as in RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timestamp(pub(crate) SystemTime);

impl FromStr for Timestamp {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let time = DateTime::from_str(text, DateTimeFormat::DateTimeWithOffset).ok();
        time.and_then(|time| SystemTime::try_from(time).ok())
            .map(Self)
            .ok_or("must be a time such as 2026-11-28T08:00:00Z")
    }
}

/// Date of a header of HTTP, given as in RFC 3339.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HttpDate(pub(crate) String);

impl FromStr for HttpDate {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Timestamp(time) = text.parse()?;
        let date = DateTime::from(time).fmt(DateTimeFormat::HttpDate);
        date.map(Self).map_err(|_| "must be a time that HTTP can express")
    }
}

/// Returns a time in the form of RFC 3339.
pub(crate) fn time_text(time: &DateTime) -> Option<String> {
    time.fmt(DateTimeFormat::DateTime).ok()
}

/// Range of plaintext bytes, with both ends inclusive. (RFC 9110 §14.1.2.)
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
        let form = "must be FIRST-LAST, FIRST- or -LENGTH, in bytes";
        let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
            true => text.parse::<u64>().map_err(|_| form),
            false => Err(form),
        };
        match text.split_once('-').ok_or(form)? {
            ("", length) => match number(length)? {
                0 => Err("LENGTH must be greater than 0"),
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

/// Name and value; the value may be empty and may contain `=`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) name: String,
    pub(crate) value: String,
}

impl FromStr for Pair {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, value) = text.split_once('=').ok_or("must be NAME=VALUE: there is no '='")?;
        if name.is_empty() {
            return Err("must be NAME=VALUE: the name is empty");
        }
        Ok(Self { name: name.to_owned(), value: value.to_owned() })
    }
}

/// Name of the bucket behind an access point, or behind every access point of the command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BucketName {
    access_point: Option<String>,
    name: String,
}

impl BucketName {
    /// Returns the name of the bucket behind `bucket`, if that is an access point that one of `names`
    /// is for.
    pub(crate) fn behind<'a>(names: &'a [Self], bucket: &str) -> Option<&'a str> {
        let is_meant = |it: &&Self| it.access_point.as_ref().is_none_or(|point| point == bucket);
        let name = names.iter().rfind(is_meant).filter(|_| is_access_point(bucket));
        name.map(|it| it.name.as_str())
    }
}

impl FromStr for BucketName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (access_point, name) = match text.rsplit_once('=') {
            Some((point, name)) => (Some(point.to_owned()), name),
            None => (None, text),
        };
        if access_point.as_deref().is_some_and(|point| !is_access_point(point)) {
            return Err(
                "must be NAME, or ACCESS-POINT=NAME with the ARN or alias of an access point",
            );
        }
        if name.is_empty() || name.contains(['/', ':']) || is_access_point(name) {
            return Err("the name of a bucket is needed");
        }
        Ok(Self { access_point, name: name.to_owned() })
    }
}

/// `true` for the ARN or the alias of an access point. (Amazon S3 User Guide, "Access points
/// aliases".)
pub(crate) fn is_access_point(bucket: &str) -> bool {
    bucket.starts_with("arn:") || bucket.ends_with("-s3alias")
}

/// Returns the encryption context with these pairs.
pub(crate) fn encryption_context(pairs: Vec<Pair>) -> Result<EncryptionContext, Failure> {
    EncryptionContext::try_from_iter(pairs.into_iter().map(|pair| (pair.name, pair.value)))
        .map_err(Failure::usage)
}

pub(crate) fn endpoint_url(text: &str) -> Result<String, &'static str> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    host.filter(|host| !host.is_empty())
        .map(|_| text.to_owned())
        .ok_or("must be an http:// or https:// URL")
}

pub(crate) fn fraction(text: &str) -> Result<f64, &'static str> {
    let fraction = text.parse().ok().filter(|fraction| *fraction > 0.0 && *fraction <= 1.0);
    fraction.ok_or("must be greater than 0 and at most 1, such as 0.01")
}

pub(crate) fn account_id(text: &str) -> Result<String, &'static str> {
    let is_id = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    is_id.then(|| text.to_owned()).ok_or("must be an AWS account ID of 12 digits")
}

pub(crate) fn place(text: &str) -> Result<String, &'static str> {
    let place = text.split_once('/').filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty());
    place.map(|_| text.to_owned()).ok_or("must be BUCKET/KEY")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_a_unit() {
        for (text, seconds) in
            [("1s", 1), ("90m", 5400), ("12h", 43_200), ("7d", 604_800), ("2w", 1_209_600)]
        {
            assert_eq!(text.parse(), Ok(TimeSpan(Duration::from_secs(seconds))), "{text}");
        }
        let form = "must be a number with a unit of s, m, h, d or w, such as 12h or 7d";
        for text in ["", "d", "7", "7 d", "7D", "+7d", "-7d", "1.5h", "7dd", "1d2h", "é"] {
            assert_eq!(text.parse::<TimeSpan>(), Err(form), "{text:?}");
        }
        assert_eq!("0d".parse::<TimeSpan>(), Err("must be greater than 0"));
        assert_eq!("99999999999999999w".parse::<TimeSpan>(), Err("too large"));
    }

    #[test]
    fn rates_have_units_of_1024() {
        let rate = |text: &str| {
            text.parse::<LimitRate>().map(|LimitRate(rate)| rate.bytes_per_second().get())
        };
        for (text, expected) in [
            ("1024", 1024),
            ("500K", 512_000),
            ("500k", 512_000),
            ("10M", 10 << 20),
            ("1G", 1 << 30),
        ] {
            assert_eq!(rate(text), Ok(expected), "{text}");
        }
        for text in ["", "K", "1.5M", "-1K", "10MB", "10 M", "fast"] {
            let form = "must be a number of bytes per second, such as 500K or 10M";
            assert_eq!(rate(text), Err(form), "{text:?}");
        }
        assert_eq!(rate("1023"), Err("must be at least 1K"));
        assert_eq!(rate("99999999999G"), Err("too large"));
    }

    #[test]
    fn a_time_has_a_date_and_a_zone() {
        let time = |text: &str| text.parse::<Timestamp>().map(|Timestamp(time)| time);
        let expected = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_852_800);
        for text in ["2026-11-28T08:00:00Z", "2026-11-28T09:00:00+01:00"] {
            assert_eq!(time(text), Ok(expected), "{text}");
        }
        for text in ["", "2026-11-28", "2026-11-28T08:00:00", "yesterday", "1795852800"] {
            assert_eq!(time(text), Err("must be a time such as 2026-11-28T08:00:00Z"), "{text}");
        }
    }

    #[test]
    fn byte_ranges_follow_http() {
        assert_eq!("0-99".parse(), Ok(ByteRange::From(0, Some(99))));
        assert_eq!("5-5".parse(), Ok(ByteRange::From(5, Some(5))));
        assert_eq!("100-".parse(), Ok(ByteRange::From(100, None)));
        assert_eq!("-100".parse(), Ok(ByteRange::Last(100)));
        let form = "must be FIRST-LAST, FIRST- or -LENGTH, in bytes";
        for text in ["", "-", "5", "a-b", "1-+2", "1-2-3", " 1-2", "99999999999999999999-"] {
            assert_eq!(text.parse::<ByteRange>(), Err(form), "{text:?}");
        }
        assert_eq!("9-8".parse::<ByteRange>(), Err("the last byte is before the first"));
        assert_eq!("-0".parse::<ByteRange>(), Err("LENGTH must be greater than 0"));
    }

    #[test]
    fn a_bucket_is_named_for_access_points_alone() {
        let arn = "arn:aws:s3:us-east-1:111122223333:accesspoint/ap";
        let names = |texts: &[&str]| -> Vec<BucketName> {
            texts.iter().map(|text| text.parse().expect(text)).collect()
        };
        let of_all = names(&["invoices"]);
        assert_eq!(BucketName::behind(&of_all, arn), Some("invoices"));
        assert_eq!(BucketName::behind(&of_all, "ap-1234-s3alias"), Some("invoices"));
        assert_eq!(BucketName::behind(&of_all, "other"), None);
        let of_two = names(&[&format!("{arn}=one"), "ap-1234-s3alias=two"]);
        assert_eq!(BucketName::behind(&of_two, arn), Some("one"));
        assert_eq!(BucketName::behind(&of_two, "ap-1234-s3alias"), Some("two"));
        assert_eq!(BucketName::behind(&of_two, "ap-5678-s3alias"), None);
        let no_name = "the name of a bucket is needed";
        for text in ["", "a/b", arn, "ap-1234-s3alias="] {
            assert_eq!(text.parse::<BucketName>(), Err(no_name), "{text}");
        }
        let no_access_point =
            "must be NAME, or ACCESS-POINT=NAME with the ARN or alias of an access point";
        assert_eq!("bucket=name".parse::<BucketName>(), Err(no_access_point));
    }

    #[test]
    fn the_first_equals_sign_divides() {
        for (text, name, value) in [
            ("a=b", "a", "b"),
            ("a=", "a", ""),
            ("a=b=c", "a", "b=c"),
            ("a==", "a", "="),
            ("a b= c ", "a b", " c "),
        ] {
            assert_eq!(text.parse(), Ok(Pair { name: name.into(), value: value.into() }), "{text}");
        }
    }

    #[test]
    fn a_pair_needs_a_name_and_an_equals_sign() {
        for text in ["", "a"] {
            let reason = "must be NAME=VALUE: there is no '='";
            assert_eq!(text.parse::<Pair>(), Err(reason), "{text:?}");
        }
        for text in ["=", "=b"] {
            let reason = "must be NAME=VALUE: the name is empty";
            assert_eq!(text.parse::<Pair>(), Err(reason), "{text:?}");
        }
    }

    #[test]
    fn a_context_refuses_duplicate_and_reserved_names() {
        let context_of = |texts: &[&str]| {
            encryption_context(texts.iter().map(|text| text.parse().expect("a pair")).collect())
        };
        assert_eq!(context_of(&["a=1", "b=2"]).expect("fine pairs").len(), 2);
        let reason = |texts: &[&str]| context_of(texts).map_err(|failure| failure.in_one_line());
        let repeated = "invalid encryption context: the name \"a\" is repeated";
        assert_eq!(reason(&["a=1", "a=2"]), Err(repeated.into()));
        let reserved = "invalid encryption context: the name \"aws:x\" starts with the reserved prefix \"aws:\"";
        assert_eq!(reason(&["aws:x=1"]), Err(reserved.into()));
    }

    #[test]
    fn values_are_checked() {
        for text in ["http://localhost:4566", "https://s3.example.com"] {
            assert_eq!(endpoint_url(text), Ok(text.into()));
        }
        for text in ["localhost:4566", "http://", "ftp://host"] {
            assert_eq!(endpoint_url(text), Err("must be an http:// or https:// URL"), "{text}");
        }
        assert_eq!(account_id("000000000000"), Ok("000000000000".into()));
        for text in ["12345678901", "12345678901x", "1234567890123"] {
            assert_eq!(account_id(text), Err("must be an AWS account ID of 12 digits"), "{text}");
        }
        assert_eq!((fraction("0.01"), fraction("1")), (Ok(0.01), Ok(1.0)));
        for text in ["0", "1.1", "NaN", "x"] {
            let reason = "must be greater than 0 and at most 1, such as 0.01";
            assert_eq!(fraction(text), Err(reason), "{text}");
        }
        assert_eq!(place("bucket/a/key"), Ok("bucket/a/key".into()));
        for text in ["bucket", "/key", "bucket/"] {
            assert_eq!(place(text), Err("must be BUCKET/KEY"), "{text}");
        }
    }
}
