//! Test for timing leaks: the duration of a comparison must not reveal the position of the first
//! difference (`make timing`).
//!
//! The method is that of dudect (Reparaz, Balasch, Verbauwhede: "Dude, is my code constant time?",
//! 2017): two classes of input in random order, and Welch's t-test over all times and over those
//! below each of 100 percentiles. A forged value differs from the true one in its first or in its
//! last byte; the caller gets the same error for both. As a control, the test must detect a
//! comparison that stops at the first difference.

use std::{hint::black_box, process::ExitCode, time::Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD as BASE64};
use futures_util::FutureExt as _;
use sealwax_envelope::{
    BodyHeader, BodySalt, CachingKeyring, EncryptedDataKey, EncryptionContext, Keyring as _,
    LocalKeyring, ObjectHeader, Opener, PartBuffer, PlaintextDataKey, Sealer, Unwrap, WrapContext,
    geometry::HEADER_LEN,
};

/// Number of measurements of each comparison.
const SAMPLES: usize = 400_000;
/// Threshold for noise on a machine with other load.
const LIMIT: f64 = 10.0;
const CONTEXT: &[u8] = b"context";

/// Forged byte of the value.
#[derive(Clone, Copy)]
enum Class {
    First,
    Last,
}

/// Random bits without security requirements (xorshift64).
struct Bits(u64);

impl Bits {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Measures the time of each prepared input in nanoseconds, for forgeries in the first and in the
/// last byte.
fn measure<T, R>(prepare: impl Fn(Class) -> T, compare: impl Fn(T) -> R) -> [Vec<f64>; 2] {
    let mut times = [Vec::with_capacity(SAMPLES), Vec::with_capacity(SAMPLES)];
    let mut bits = Bits(0x9e37_79b9_7f4a_7c15);
    for n in 0..SAMPLES {
        let last = bits.next() & 1 == 1;
        let input = black_box(prepare(if last { Class::Last } else { Class::First }));
        let begun = Instant::now();
        let result = black_box(compare(input));
        let time = begun.elapsed();
        drop(result);
        // The first measurements warm up the processor.
        if n >= SAMPLES / 100 {
            times[usize::from(last)].push(time.as_nanos() as f64);
        }
    }
    times
}

/// Returns the greatest |t| over all times and over those below each percentile, because
/// interruptions cause a long tail.
fn max_t(times: &[Vec<f64>; 2]) -> f64 {
    let mut sorted = times.concat();
    sorted.sort_by(f64::total_cmp);
    let percentile = |n: i32| {
        let share = 1.0 - 0.5_f64.powf(f64::from(10 * n) / 100.0);
        sorted[(share * (sorted.len() - 1) as f64) as usize]
    };
    let bounds = (1..=100).map(percentile).chain([f64::INFINITY]);
    let of = |bound: f64| {
        let [one, other] = times
            .each_ref()
            .map(|times| Moments::of(times.iter().copied().filter(|time| *time <= bound)));
        one.welch_t(&other).abs()
    };
    bounds.map(of).fold(0.0, f64::max)
}

/// Number, mean and variance.
struct Moments {
    n: f64,
    mean: f64,
    variance: f64,
}

impl Moments {
    /// Computes the moments of `values` (Welford's algorithm).
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let (mut n, mut mean, mut squares) = (0.0, 0.0, 0.0);
        for value in values {
            n += 1.0;
            let off = value - mean;
            mean += off / n;
            squares += off * (value - mean);
        }
        Self { n, mean, variance: squares / (n - 1.0) }
    }

    /// Returns 0 for too few values.
    fn welch_t(&self, other: &Self) -> f64 {
        let error = (self.variance / self.n + other.variance / other.n).sqrt();
        if self.n < 1000.0 || other.n < 1000.0 || error == 0.0 {
            0.0
        } else {
            (self.mean - other.mean) / error
        }
    }
}

/// Inverts a bit of `value`.
fn forge(value: &mut [u8], class: Class) {
    let at = match class {
        Class::First => 0,
        Class::Last => value.len() - 1,
    };
    value[at] ^= 1;
}

fn salt() -> BodySalt {
    BodySalt::generate().expect("random")
}

fn data_key() -> PlaintextDataKey {
    PlaintextDataKey::from_slice_wiping(&mut [7; 32]).expect("32 bytes")
}

fn sealed() -> [u8; HEADER_LEN + 64 + 16] {
    let sealer = Sealer::new(&data_key(), CONTEXT, salt());
    let mut buffer = PartBuffer::new(Some(sealer.header()), 1);
    buffer.put_slice(&[1; 64]);
    sealer.last_part().seal(buffer).expect("sealed").try_into().expect("one chunk")
}

fn header(body: &[u8]) -> BodyHeader {
    BodyHeader::from_bytes(body.first_chunk().expect("a header"))
}

/// Measures the commitment in a body's header.
fn commitment() -> [Vec<f64>; 2] {
    let (data_key, body) = (data_key(), sealed());
    let prepare = |class| {
        let mut body = body;
        forge(&mut body[24..HEADER_LEN], class);
        header(&body)
    };
    measure(prepare, |header| Opener::new(&data_key, CONTEXT, &header).is_ok())
}

/// Measures the same followed by a comparison that stops at the first difference: the control.
fn leak() -> [Vec<f64>; 2] {
    let (data_key, body) = (data_key(), sealed());
    let prepare = |class| {
        let mut commitment: [u8; 32] = body[24..HEADER_LEN].try_into().expect("32 bytes");
        forge(&mut commitment, class);
        commitment
    };
    let compare = |forged: [u8; 32]| {
        let opener = Opener::new(&data_key, CONTEXT, &header(&body)).is_ok();
        let differs = forged
            .iter()
            .zip(&body[24..HEADER_LEN])
            .position(|(one, other)| black_box(one) != black_box(other));
        (opener, differs)
    };
    measure(prepare, compare)
}

/// Measures the tag of a chunk.
fn tag() -> [Vec<f64>; 2] {
    let body = sealed();
    let opener = Opener::new(&data_key(), CONTEXT, &header(&body)).expect("the commitment");
    let prepare = |class| {
        let mut chunk: [u8; 80] = body[HEADER_LEN..].try_into().expect("one chunk");
        forge(&mut chunk[64..], class);
        chunk
    };
    measure(prepare, |mut chunk| opener.open_chunks(0, &mut chunk).is_ok())
}

/// Measures the tag of a data key encrypted under an intermediate key.
fn wrap() -> [Vec<f64>; 2] {
    let context = EncryptionContext::new();
    let local = || LocalKeyring::new("a", &mut [9; 32]).expect("a key");
    let body = BodyHeader::from_bytes(&[0; HEADER_LEN]);
    let wrap_context = WrapContext::for_stored_data_key(context.clone(), None, &body);
    let keyring = CachingKeyring::new(local());
    let materials = keyring.generate(&wrap_context, None).now_or_never().expect("nothing waits");
    let keys = materials.unwrap_or_else(|error| panic!("{error}")).into_parts().1;
    let wrap = [keys[0].intermediate().expect("an intermediate key")];
    let Some(Unwrap::Unwrapped(intermediate)) = local().unwrap(&wrap).now_or_never() else {
        panic!("the intermediate key does not open")
    };
    let intermediate = || {
        PlaintextDataKey::from_slice_wiping(&mut { *intermediate.expose_secret() })
            .expect("32 bytes")
    };
    assert!(keys[0].open(intermediate()).is_ok());
    let stored = ObjectHeader::new(context, keys, body, None).expect("a header");
    let forged = |class| -> EncryptedDataKey {
        let mut metadata = stored.to_metadata();
        let (_, keys) =
            metadata.iter_mut().find(|(name, _)| *name == "sealwax-keys").expect("keys");
        let (before, rest) = keys.split_once(r#""data-key":""#).expect("a data key");
        let (wrapped, after) = rest.split_once('"').expect("its end");
        let mut bytes = BASE64.decode(wrapped).expect("base64");
        let tag = bytes.len() - 16;
        forge(&mut bytes[tag..], class);
        *keys = format!(r#"{before}"data-key":"{}"{after}"#, BASE64.encode(bytes));
        let parsed =
            ObjectHeader::parse(metadata.iter().map(|(name, value)| (*name, value.as_str())));
        parsed.expect("well-formed").keys()[0].clone()
    };
    let keys = [Class::First, Class::Last].map(forged);
    let prepare = |class| {
        let key = match class {
            Class::First => &keys[0],
            Class::Last => &keys[1],
        };
        (key.clone(), intermediate())
    };
    measure(prepare, |(key, intermediate)| key.open(intermediate).is_ok())
}

fn main() -> ExitCode {
    let mut good = true;
    let mut report = |name: &str, times: &[Vec<f64>; 2], leaks: bool| {
        let t = max_t(times);
        let found = t >= LIMIT;
        let verdict = match (leaks, found) {
            (false, false) => "no leak found",
            (false, true) => "LEAKS",
            (true, true) => "found, as it must be",
            (true, false) => "NOT FOUND: the test is blind here",
        };
        println!(
            "{name:<32} max |t| = {t:7.2} of {} times: {verdict}",
            times[0].len() + times[1].len()
        );
        good &= leaks == found;
    };
    report("commitment", &commitment(), false);
    report("tag of a chunk", &tag(), false);
    report("tag of a wrapped data key", &wrap(), false);
    report("control: ends at a difference", &leak(), true);
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
