//! AES-256-GCM of one long message in pieces: both candidates and the one-shot cipher of aws-lc-rs,
//! in one run.

mod rustcrypto;

use std::hint::black_box;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use criterion::{BenchmarkId, Criterion, Throughput};
use sealwax_aws_lc::gcm::{Opener, Sealer};

const KEY: [u8; 32] = [7; 32];
const NONCE: [u8; 12] = [1; 12];
/// Length of the message in bytes.
const MESSAGE: usize = 64 << 20;

fn main() {
    agree();
    let mut criterion = Criterion::default().configure_from_args().sample_size(20);
    let mut buffer = vec![7; MESSAGE];
    let mut group = criterion.benchmark_group("64 MiB in pieces");
    group.throughput(Throughput::Bytes(MESSAGE as u64));
    for piece in [16 << 10, 256 << 10, 8 << 20] {
        group.bench_function(BenchmarkId::new("AWS-LC seal", piece), |bencher| {
            bencher.iter(|| {
                let mut sealer = Sealer::new(&KEY, &NONCE, b"");
                buffer.chunks_mut(piece).for_each(|piece| sealer.update(piece).expect("short"));
                black_box(sealer.finish())
            });
        });
        group.bench_function(BenchmarkId::new("AWS-LC open", piece), |bencher| {
            bencher.iter(|| {
                let mut opener = Opener::new(&KEY, &NONCE, b"");
                for piece in buffer.chunks_mut(piece) {
                    black_box(opener.update(piece).expect("short").dangerous_release_unverified());
                }
                // The tag is wrong, but verification takes the same time.
                black_box(opener.verify(&[0; 16]).is_ok())
            });
        });
        group.bench_function(BenchmarkId::new("RustCrypto seal", piece), |bencher| {
            bencher.iter(|| {
                let mut sealer = rustcrypto::Sealer::new(&KEY, &NONCE);
                buffer.chunks_mut(piece).for_each(|piece| sealer.update(piece));
                black_box(sealer.finish())
            });
        });
    }
    group.bench_function("aws-lc-rs in one shot", |bencher| {
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &KEY).expect("32 bytes"));
        bencher.iter(|| {
            let nonce = Nonce::assume_unique_for_key(NONCE);
            black_box(
                key.seal_in_place_separate_tag(nonce, Aad::empty(), &mut buffer).expect("short"),
            )
        });
    });
    group.finish();
    criterion.final_summary();
}

/// Checks that both candidates return the same bytes.
fn agree() {
    let (mut one, mut other) = (vec![3; 100_001], vec![3; 100_001]);
    let (mut ours, mut theirs) =
        (Sealer::new(&KEY, &NONCE, b""), rustcrypto::Sealer::new(&KEY, &NONCE));
    one.chunks_mut(16).for_each(|piece| ours.update(piece).expect("short"));
    other.chunks_mut(4096).for_each(|piece| theirs.update(piece));
    assert_eq!((one, ours.finish()), (other, theirs.finish()));
}
