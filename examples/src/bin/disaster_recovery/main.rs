//! The disaster recovery scenario: seal in one Region, rewrap the replica in another, lose the
//! first Region, keep reading. A second act does it with 10,000 small objects, by a rewrap of their
//! intermediate keys alone.
//!
//! `make demo` starts LocalStack and runs this program. Each step prints what it did and how it was
//! checked.

mod counting;
mod keys_act;
mod records;
mod regions;
mod report;
mod stored;

use std::{error::Error, path::Path, time::Instant};

use aws_sdk_s3::types::MetadataDirective;
use sealwax_s3::{ErrorKind, KmsKeyring};

use self::{
    records::MARKER,
    regions::{Region, Regions},
    report::{Report, mib},
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Length of the plaintext file in bytes: 200 MiB.
const FILE_LEN: u64 = 200 << 20;
const KEY: &str = "patients/2026/admissions.csv";

#[tokio::main]
async fn main() -> Result<()> {
    let regions = Regions::from_env().await?;
    let outcome = run(&regions).await;
    // Leaves the seeded key usable in any case.
    regions.east.enable_key().await?;
    outcome
}

async fn run(regions: &Regions) -> Result<()> {
    let Regions { east, west } = regions;
    let mut report = Report::default();
    let directory = tempfile::tempdir()?;
    let (source, restored) =
        (directory.path().join("admissions.csv"), directory.path().join("restored.csv"));

    let records = records::write(&source, FILE_LEN)?;
    let original = records::sha256(&source)?;
    report.step(format!(
        "made a file of {} with {records} records, each with {MARKER:?} in it",
        mib(FILE_LEN)
    ));

    seal(&mut report, east, &source).await?;
    inspect_stored_bytes(&mut report, east, &source).await?;
    replicate(&mut report, east, west).await?;
    rewrap(&mut report, east, west).await?;

    east.disable_key().await?;
    report.step(format!("lost {}: its KMS key is disabled", east.name));

    let started = Instant::now();
    let info =
        west.client(west.keyring()).get().bucket(&west.bucket).key(KEY).to_file(&restored).await?;
    report.row("read in us-west-2 only", mib(info.plaintext_len()), started.elapsed());
    report.step(format!(
        "read the replica with {} only, {} verified",
        west.name,
        mib(info.plaintext_len())
    ));
    let read = records::sha256(&restored)?;
    require(read == original, "the restored file differs")?;
    report.step(format!("its SHA-256 equals the original's: {read}"));

    let lost = east.client(east.keyring()).get().bucket(&east.bucket).key(KEY).send().await;
    let error = lost.err().ok_or("the source still opens although its key is disabled")?;
    require(error.kind() == ErrorKind::KeyDisabled, "the source fails for another reason")?;
    report.step(format!("the source no longer opens: {error}"));

    east.enable_key().await?;
    keys_act::run(&mut report, regions).await?;
    report.instead("instead: rewrap each object", keys_act::OBJECTS, keys_act::object_by_object());
    report.print();
    Ok(())
}

/// Seals the file in `east` under that Region's key only, with a multipart upload.
async fn seal(report: &mut Report, east: &Region, source: &Path) -> Result<()> {
    let started = Instant::now();
    let stored = east
        .client(east.keyring())
        .put()
        .bucket(&east.bucket)
        .key(KEY)
        .body(sealwax_s3::PlaintextSource::file(source))
        .context("class", "patient-data")
        .context("tenant", "st-elsewhere")
        .content_type("text/csv")
        .metadata("origin", "demo")
        .send()
        .await?;
    report.row("sealed in us-east-1", mib(stored.plaintext_len), started.elapsed());
    let parts = east.parts_of(KEY).await?;
    require(parts > 1, "the upload was not multipart")?;
    report.step(format!(
        "sealed it as s3://{}/{KEY} in {} parts, under one key of {}, with the context {}",
        east.bucket,
        parts,
        east.name,
        stored.header.context().to_json(),
    ));
    Ok(())
}

/// Reads the stored object without Sealwax.
async fn inspect_stored_bytes(report: &mut Report, east: &Region, source: &Path) -> Result<()> {
    let plain = stored::Bytes::of_file(source)?;
    let sealed = stored::Bytes::of_object(&east.s3, &east.bucket, KEY).await?;
    require(plain.markers > 0 && sealed.markers == 0, "plaintext was found in the stored bytes")?;
    require(sealed.entropy > 7.999, "the stored bytes do not look random")?;
    report.step(format!(
        "inspected the stored bytes: {MARKER:?} occurs {} times (in the file: {}), {:.4} bits of entropy per byte (in the \
         file: {:.4})",
        sealed.markers, plain.markers, sealed.entropy, plain.entropy,
    ));
    Ok(())
}

/// Copies the object with its metadata to the other Region's bucket, as S3 Replication does.
async fn replicate(report: &mut Report, east: &Region, west: &Region) -> Result<()> {
    let started = Instant::now();
    west.s3
        .copy_object()
        .bucket(&west.bucket)
        .key(KEY)
        .copy_source(format!("{}/{KEY}", east.bucket))
        .metadata_directive(MetadataDirective::Copy)
        .send()
        .await?;
    let info = west.client(west.keyring()).head().bucket(&west.bucket).key(KEY).send().await?;
    report.row("replicated", mib(info.plaintext_len()), started.elapsed());
    report.step(format!(
        "copied it to s3://{}/{KEY} with its metadata, as replication does",
        west.bucket
    ));

    let early = west
        .replica_client(west.keyring(), &east.bucket)
        .get()
        .bucket(&west.bucket)
        .key(KEY)
        .send()
        .await;
    let error = early.err().ok_or("the replica opens before the rewrap")?;
    require(error.kind() == ErrorKind::NoMatchingKey, "the replica fails for another reason")?;
    report.step(format!("the replica does not open yet: its only key is in {}", east.name));
    Ok(())
}

/// Rewraps the replica: the data key moves from the east key to the west key, and the body stays
/// unchanged.
async fn rewrap(report: &mut Report, east: &Region, west: &Region) -> Result<()> {
    let started = Instant::now();
    let keyring: KmsKeyring = east.keyring();
    let rewrapped = west
        .replica_client(keyring, &east.bucket)
        .rewrap()
        .bucket(&west.bucket)
        .key(KEY)
        .replace_keys(west.keyring())
        .send()
        .await?;
    require(rewrapped.rewrapped, "the replica was not rewrapped")?;
    report.row("rewrapped in us-west-2", "0 MiB moved".into(), started.elapsed());
    report.step(format!(
        "rewrapped the replica under the key of {}: generation {}, {} key, no byte of the body moved",
        west.name,
        rewrapped.generation(),
        rewrapped.keys().len(),
    ));
    Ok(())
}

fn require(holds: bool, otherwise: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}
