//! Throughput of sealing and opening bodies, compared with a bare aws-lc-rs loop over the same
//! chunks in the same run.
//!
//! `cargo bench -p sealwax-envelope` measures the default ciphers; add `--no-default-features
//! --features rustcrypto` to measure the pure Rust ones. Only the cipher operations are timed:
//! buffers are filled before and freed after. Compare ratios within a run, never bytes per second
//! between machines.

use std::{
    env, fs,
    hint::black_box,
    time::{Duration, Instant},
};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use criterion::{
    BatchSize, BenchmarkGroup, BenchmarkId, Criterion, Throughput, measurement::WallTime,
};
use sealwax_envelope::{
    BodySalt, Opener, PartBuffer, PartSealer, PlaintextDataKey, Sealer, SpanOpener,
    geometry::{CHUNK_LEN, SEALED_CHUNK_LEN, TAG_LEN},
};

/// Default plaintext length of a part, which is the longest buffer here.
const PART_LEN: usize = 8 * 1024 * 1024;
/// Length of the pieces in which a body arrives.
const PIECE_LEN: usize = 64 * 1024;
const LENS: [usize; 3] = [CHUNK_LEN, 1024 * 1024, PART_LEN];
const CONTEXT: &[u8] = b"context";
const BACKEND: &str = if cfg!(feature = "aws-lc-rs") { "aws-lc-rs" } else { "rustcrypto" };

/// Number of run pairs for the relative speed.
const PAIRS: usize = 301;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group(BACKEND);
    let data_key = PlaintextDataKey::generate().expect("random bytes");
    let (mut seal_share, mut open_share) = (0.0, 0.0);
    for len in LENS {
        group.throughput(Throughput::Bytes(len as u64));
        seal_share = seal(&mut group, &data_key, len);
        open_share = open(&mut group, &data_key, len);
    }
    drop(group);
    key_schedule(&mut criterion, &data_key);
    criterion.final_summary();
    println!(
        "{BACKEND}: 8 MiB in turns with the bare loop: seal {seal_share:.3}, open {open_share:.3} of its speed"
    );
    keep_shares(seal_share, open_share);
}

/// Returns the speed relative to the bare loop.
fn seal(group: &mut BenchmarkGroup<'_, WallTime>, data_key: &PlaintextDataKey, len: usize) -> f64 {
    let chunks = len / CHUNK_LEN;
    let mut sealer = Sealer::new(data_key, CONTEXT, salt());
    let plaintext = vec![7; len];
    let mut filled = || {
        let mut buffer = PartBuffer::new(None, chunks);
        buffer.put_slice(&plaintext);
        (sealer.next_part(chunks).expect("below the limit"), buffer)
    };
    let seal = |(part, buffer): (PartSealer, PartBuffer)| part.seal(buffer).expect("full");
    group.bench_function(BenchmarkId::new("seal", len), |bencher| {
        bencher.iter_batched(&mut filled, seal, batch(len));
    });

    let cipher = Bare::new(data_key);
    let plaintext_with_room = vec![7; chunks * SEALED_CHUNK_LEN];
    // A copy, as above, for the same state of the processor's caches.
    let copied = || plaintext_with_room.clone();
    let seal_bare = |chunks| cipher.seal(chunks);
    group.bench_function(BenchmarkId::new("seal-bare", len), |bencher| {
        bencher.iter_batched(copied, seal_bare, batch(len));
    });
    share(|| timed(filled(), seal), || timed(copied(), seal_bare))
}

/// Returns the speed relative to the bare loop.
fn open(group: &mut BenchmarkGroup<'_, WallTime>, data_key: &PlaintextDataKey, len: usize) -> f64 {
    let chunks = len / CHUNK_LEN;
    let mut sealer = Sealer::new(data_key, CONTEXT, salt());
    let opener = Opener::new(data_key, CONTEXT, sealer.header()).expect("the same key");
    let mut buffer = PartBuffer::new(None, chunks);
    buffer.put_slice(&vec![7; len]);
    let sealed = sealer.next_part(chunks).expect("below the limit").seal(buffer).expect("full");
    let open = |mut body: Vec<u8>| {
        black_box(opener.open_chunks(0, &mut body).expect("authentic"));
        body
    };
    group.bench_function(BenchmarkId::new("open", len), |bencher| {
        bencher.iter_batched(|| sealed.clone(), open, batch(len));
    });
    group.bench_function(BenchmarkId::new("open-arriving", len), |bencher| {
        let mut room = vec![0; len];
        bencher.iter(|| {
            let mut span = SpanOpener::new(opener.clone(), 0, sealed.len() as u64);
            let mut written = 0;
            for piece in sealed.chunks(PIECE_LEN) {
                written += span.open(piece, &mut room[written..]).expect("authentic").written;
            }
            assert!(span.is_done());
        });
    });

    let cipher = Bare::new(data_key);
    let sealed_bare = cipher.seal(vec![7; chunks * SEALED_CHUNK_LEN]);
    let open_bare = |chunks| cipher.open(chunks);
    group.bench_function(BenchmarkId::new("open-bare", len), |bencher| {
        bencher.iter_batched(|| sealed_bare.clone(), open_bare, batch(len));
    });
    share(|| timed(sealed.clone(), open), || timed(sealed_bare.clone(), open_bare))
}

/// Returns the speed of `ours` relative to `bare`: the median over pairs of consecutive runs. A
/// disturbance that lasts longer than a pair slows down both.
fn share(mut ours: impl FnMut() -> Duration, mut bare: impl FnMut() -> Duration) -> f64 {
    let mut pair = |number: usize| {
        // Each runs first in half of the pairs.
        let (ours, bare) = if number.is_multiple_of(2) {
            let ours = ours();
            (ours, bare())
        } else {
            let bare = bare();
            (ours(), bare)
        };
        bare.as_secs_f64() / ours.as_secs_f64()
    };
    let mut shares: Vec<_> = (0..PAIRS).map(&mut pair).collect();
    shares.sort_by(f64::total_cmp);
    shares[PAIRS / 2]
}

/// Measures the work only, not the deallocation of its result.
fn timed<T>(input: T, work: impl FnOnce(T) -> Vec<u8>) -> Duration {
    let begin = Instant::now();
    let output = black_box(work(input));
    let time = begin.elapsed();
    drop(output);
    time
}

/// Stores the relative speeds next to criterion's results, for the report.
fn keep_shares(seal: f64, open: f64) {
    let program = env::current_exe().expect("the path of this program");
    // target/release/deps/throughput-0123456789abcdef
    let target = program.ancestors().nth(3).expect("cargo's target directory");
    let directory = target.join("criterion").join(BACKEND);
    fs::create_dir_all(&directory).expect("a directory in target");
    fs::write(directory.join("share.json"), format!(r#"{{"seal":{seal},"open":{open}}}"#))
        .expect("a file in target");
}

/// Cost of an object before its first byte: the random salt, HKDF, the commitment and the cipher's
/// key schedule.
fn key_schedule(criterion: &mut Criterion, data_key: &PlaintextDataKey) {
    let mut group = criterion.benchmark_group(BACKEND);
    group.bench_function("key-schedule-seal", |bencher| {
        bencher.iter(|| Sealer::new(black_box(data_key), black_box(CONTEXT), salt()));
    });
    let header = *Sealer::new(data_key, CONTEXT, salt()).header();
    group.bench_function("key-schedule-open", |bencher| {
        bencher.iter(|| {
            Opener::new(black_box(data_key), black_box(CONTEXT), &header).expect("the same key")
        });
    });
}

fn salt() -> BodySalt {
    BodySalt::generate().expect("random bytes")
}

/// Fills enough buffers at once to make up one part: long compared with the clock's resolution, and
/// small enough for memory.
fn batch(len: usize) -> BatchSize {
    BatchSize::NumIterations((PART_LEN / len) as u64)
}

/// The baseline: only the cipher, with a new nonce for each chunk as in a body.
struct Bare(LessSafeKey);

impl Bare {
    fn new(key: &PlaintextDataKey) -> Self {
        Self(LessSafeKey::new(
            UnboundKey::new(&AES_256_GCM, key.expose_secret()).expect("32 bytes"),
        ))
    }

    fn seal(&self, mut chunks: Vec<u8>) -> Vec<u8> {
        for (number, chunk) in chunks.chunks_exact_mut(SEALED_CHUNK_LEN).enumerate() {
            let (data, tag) = chunk.split_at_mut(chunk.len() - TAG_LEN);
            let sealed = self
                .0
                .seal_in_place_separate_tag(nonce(number), Aad::empty(), data)
                .expect("short");
            tag.copy_from_slice(sealed.as_ref());
        }
        chunks
    }

    fn open(&self, mut chunks: Vec<u8>) -> Vec<u8> {
        for (number, chunk) in chunks.chunks_exact_mut(SEALED_CHUNK_LEN).enumerate() {
            let (data, tag) = chunk.split_at_mut(chunk.len() - TAG_LEN);
            self.0
                .open_in_place_separate_tag(nonce(number), Aad::empty(), tag, data)
                .expect("authentic");
        }
        chunks
    }
}

fn nonce(number: usize) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&(number as u64).to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}
