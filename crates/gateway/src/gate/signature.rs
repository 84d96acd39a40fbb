//! Signature Version 4: the strings that are signed, and the keys.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, Method};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// The only supported algorithm.
pub(super) const ALGORITHM: &str = "AWS4-HMAC-SHA256";

const SECONDS_A_DAY: i64 = 86_400;
/// Days from 0000-03-01 to 1970-01-01 in the Gregorian calendar.
const DAYS_TO_EPOCH: i64 = 719_468;

/// Computes HMAC-SHA-256.
fn hmac(key: &[u8], data: &[u8]) -> [u8; 32] {
    let mut hmac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    hmac.update(data);
    hmac.finalize().into_bytes().into()
}

/// Encodes as lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
    bytes.iter().flat_map(|&byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Decodes a SHA-256 digest of lower-case hexadecimal digits.
pub(super) fn decode_sha256(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut digest = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(digest)
}

/// Time of a signature, to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SigningTime {
    /// Seconds since 1970, from the year 0 to the year 9999.
    seconds: i64,
}

impl SigningTime {
    /// Parses `YYYYMMDDTHHMMSSZ`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() != 16 || bytes[8] != b'T' || bytes[15] != b'Z' {
            return None;
        }
        let number = |at: std::ops::Range<usize>| {
            let digits = text.get(at).filter(|it| it.bytes().all(|it| it.is_ascii_digit()))?;
            digits.parse::<i64>().ok()
        };
        let (year, month, day) = (number(0..4)?, number(4..6)?, number(6..8)?);
        let (hour, minute, second) = (number(9..11)?, number(11..13)?, number(13..15)?);
        let time = Self {
            seconds: days_from_civil(year, month, day) * SECONDS_A_DAY
                + hour * 3600
                + minute * 60
                + second,
        };
        // Neither 25 o'clock nor February 30.
        (time.to_string() == text).then_some(time)
    }

    /// Parses the `Date` header of HTTP.
    pub(super) fn parse_http(text: &str) -> Option<Self> {
        Self::of(httpdate::parse_http_date(text).ok()?)
    }

    /// Returns the second of a time; `None` before 1970.
    pub(super) fn of(time: SystemTime) -> Option<Self> {
        let seconds = time.duration_since(UNIX_EPOCH).ok()?.as_secs();
        Some(Self { seconds: i64::try_from(seconds).ok()? })
    }

    /// Returns the seconds from this time until `now`, negative if this time is later.
    pub(super) fn age(self, now: SystemTime) -> i64 {
        let seconds = |it: Duration| i64::try_from(it.as_secs()).unwrap_or(i64::MAX);
        let now = match now.duration_since(UNIX_EPOCH) {
            Ok(after) => seconds(after),
            Err(before) => -seconds(before.duration()),
        };
        now.saturating_sub(self.seconds)
    }

    /// Returns the day as `YYYYMMDD`.
    pub(super) fn day(self) -> String {
        let (year, month, day) = civil_from_days(self.seconds.div_euclid(SECONDS_A_DAY));
        format!("{year:04}{month:02}{day:02}")
    }
}

impl fmt::Display for SigningTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let second = self.seconds.rem_euclid(SECONDS_A_DAY);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{}T{hour:02}{minute:02}{second:02}Z", self.day())
    }
}

/// Returns the days since 1970-01-01. (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms".)
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - DAYS_TO_EPOCH
}

/// Reverts [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + DAYS_TO_EPOCH;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// Time and scope of signatures, and the key for them.
#[derive(Clone)]
pub(super) struct Signer {
    time: SigningTime,
    /// `YYYYMMDD/region/s3/aws4_request`.
    scope: String,
    key: Zeroizing<[u8; 32]>,
}

impl Signer {
    /// Derives the key for a day and a region.
    pub(super) fn new(secret: &str, time: SigningTime, region: &str) -> Self {
        let day = time.day();
        let secret = Zeroizing::new(["AWS4", secret].concat());
        let key = Zeroizing::new(hmac(secret.as_bytes(), day.as_bytes()));
        let key = Zeroizing::new(hmac(&*key, region.as_bytes()));
        let key = Zeroizing::new(hmac(&*key, b"s3"));
        let key = Zeroizing::new(hmac(&*key, b"aws4_request"));
        Self { time, scope: format!("{day}/{region}/s3/aws4_request"), key }
    }

    fn sign(&self, algorithm: &str, last_lines: &[&str]) -> String {
        let mut text = format!("{algorithm}\n{}\n{}", self.time, self.scope);
        for line in last_lines {
            text.push('\n');
            text.push_str(line);
        }
        hex(&hmac(&*self.key, text.as_bytes()))
    }

    /// Signs a request.
    pub(super) fn request(&self, canonical_request: &[u8]) -> String {
        self.sign(ALGORITHM, &[&hex(&Sha256::digest(canonical_request))])
    }

    /// Signs a chunk, given its digest and the signature before it.
    pub(super) fn chunk(&self, previous: &str, digest: &[u8]) -> String {
        let nothing = hex(&Sha256::digest(b""));
        self.sign("AWS4-HMAC-SHA256-PAYLOAD", &[previous, &nothing, &hex(digest)])
    }

    /// Signs trailers, each with a line feed, given the signature before them.
    pub(super) fn trailers(&self, previous: &str, trailers: &[u8]) -> String {
        self.sign("AWS4-HMAC-SHA256-TRAILER", &[previous, &hex(&Sha256::digest(trailers))])
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("scope", &self.scope).finish_non_exhaustive()
    }
}

/// Compares signatures in constant time.
pub(super) fn is_equal(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

/// Parts of a request that are signed.
#[derive(Debug)]
pub(super) struct SignedRequest<'a> {
    pub(super) method: &'a Method,
    /// Canonical form of the query.
    pub(super) query: &'a str,
    pub(super) headers: &'a HeaderMap,
    /// Host, which HTTP/2 has no header for.
    pub(super) host: &'a str,
    /// Sorted names in lower case.
    pub(super) signed_headers: &'a [String],
    /// `x-amz-content-sha256`.
    pub(super) payload: &'a str,
}

impl SignedRequest<'_> {
    /// Returns the canonical request with that path.
    pub(super) fn canonical(&self, path: &str) -> Vec<u8> {
        let mut text = format!("{}\n{path}\n{}\n", self.method, self.query).into_bytes();
        for name in self.signed_headers {
            text.extend_from_slice(name.as_bytes());
            text.push(b':');
            if name == "host" {
                text.extend(collapsed(self.host.as_bytes()));
            } else {
                for (at, value) in self.headers.get_all(name).iter().enumerate() {
                    if at > 0 {
                        text.push(b',');
                    }
                    text.extend(collapsed(value.as_bytes()));
                }
            }
            text.push(b'\n');
        }
        text.push(b'\n');
        text.extend_from_slice(self.signed_headers.join(";").as_bytes());
        text.push(b'\n');
        text.extend_from_slice(self.payload.as_bytes());
        text
    }
}

/// Trims blanks and makes those within single spaces.
fn collapsed(value: &[u8]) -> Vec<u8> {
    let words = value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(&b' ')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_strict() {
        for (text, seconds) in [
            ("19700101T000000Z", Some(0)),
            ("20130524T000000Z", Some(1_369_353_600)),
            ("20240229T235959Z", Some(1_709_251_199)),
            ("99991231T235959Z", Some(253_402_300_799)),
            ("20230229T000000Z", None),
            ("20231301T000000Z", None),
            ("20230001T000000Z", None),
            ("20230101T240000Z", None),
            ("20230101T006000Z", None),
            ("20230101T000060Z", None),
            ("20230101T000000", None),
            ("20230101t000000Z", None),
            ("2023010+T000000Z", None),
            ("", None),
        ] {
            assert_eq!(SigningTime::parse(text).map(|it| it.seconds), seconds, "{text}");
        }
        let http = SigningTime::parse_http("Fri, 24 May 2013 00:00:00 GMT").unwrap();
        assert_eq!(http.to_string(), "20130524T000000Z");
        assert_eq!(SigningTime::parse_http("24 May 2013"), None);
    }

    proptest! {
        #[test]
        fn times_are_printed_as_parsed(seconds in 0..253_402_300_799_i64) {
            let time = SigningTime { seconds };
            prop_assert_eq!(SigningTime::parse(&time.to_string()), Some(time));
            let system = UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs());
            prop_assert_eq!(SigningTime::parse_http(&httpdate::fmt_http_date(system)), Some(time));
        }
    }

    /// Amazon S3 API Reference, "Signature Calculations for the Authorization Header", "GET Object".
    #[test]
    fn example_of_aws() {
        let time = SigningTime::parse("20130524T000000Z").unwrap();
        let signer = Signer::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", time, "us-east-1");
        let nothing = hex(&Sha256::digest(b""));
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("range", "bytes=0-9"),
            ("x-amz-content-sha256", &nothing),
            ("x-amz-date", "20130524T000000Z"),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        let request = SignedRequest {
            method: &Method::GET,
            query: "",
            headers: &headers,
            host: "examplebucket.s3.amazonaws.com",
            signed_headers: &["host", "range", "x-amz-content-sha256", "x-amz-date"]
                .map(String::from),
            payload: &nothing,
        };
        assert_eq!(
            signer.request(&request.canonical("/test.txt")),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
    }

    #[test]
    fn keys_are_not_printed() {
        let time = SigningTime::parse("20130524T000000Z").unwrap();
        let signer = Signer::new("secret", time, "us-east-1");
        let printed = format!("{signer:?}");
        assert_eq!(printed, "Signer { scope: \"20130524/us-east-1/s3/aws4_request\", .. }");
    }
}
