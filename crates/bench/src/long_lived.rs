//! Cost of an operation in a program that runs for long: its connections are open, its keys cached.

use std::{
    hint::black_box,
    process::Command,
    time::{Duration, Instant},
};

use aws_config::BehaviorVersion;
use aws_sdk_s3::{Client, config::Builder, primitives::ByteStream, types::ChecksumAlgorithm};
use bytes::Bytes;
use clap::ValueEnum;
use nix::sys::resource::{UsageWho, getrusage};
use sealwax_s3::{KmsKeyring, SealedClient, envelope::CachingKeyring};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use crate::{
    Result,
    contender::{Contender, KEPT, KEY_ARN, NULL, Target},
    operation::Operation,
    peers::Peers,
};

/// Number of programs of which the one with the median CPU time counts.
const ROUNDS: usize = 5;
/// Number of operations of which the cost is the mean, without latency and with it.
const OPERATIONS: [u32; 2] = [200, 20];
/// Number of operations before.
const WARMING: u32 = 20;
/// Length of the object in bytes.
const LEN: usize = 1 << 20;
const KEY: &str = "long-lived";

/// A program that puts and gets one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LongLivedClient {
    /// Sealwax, with its key cache.
    Sealwax,
    /// Sealwax without one: each operation calls KMS.
    Uncached,
    /// The bare SDK, on plain bytes.
    BareSdk,
}

impl LongLivedClient {
    const ALL: [Self; 3] = [Self::Sealwax, Self::Uncached, Self::BareSdk];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sealwax => "sealwax, key cache",
            Self::Uncached => "sealwax, without it",
            Self::BareSdk => "bare SDK, plain",
        }
    }
}

/// Mean cost of one operation.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Mean {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
}

/// Costs of one program.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LongLivedRun {
    pub(crate) client: LongLivedClient,
    pub(crate) operation: Operation,
    pub(crate) latency_ms: u64,
    pub(crate) tls: bool,
    pub(crate) mean: Mean,
}

/// Measures all programs against the server at `target`, in turns.
pub(crate) fn measure(
    peers: &Peers,
    target: Target<'_>,
    latency_ms: u64,
) -> Result<Vec<LongLivedRun>> {
    let tls = target.endpoint.starts_with("https://");
    let operations = OPERATIONS[usize::from(latency_ms > 0)];
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        let mut clients = LongLivedClient::ALL;
        clients.rotate_left(round % LongLivedClient::ALL.len());
        for client in clients {
            let mut command: Command = Contender::BareSdk.command(peers, target)?;
            let name = client.to_possible_value().expect("none is skipped");
            command.args(["long-lived", name.get_name(), &operations.to_string()]);
            let output = command.output()?;
            if !output.status.success() {
                return Err(String::from_utf8_lossy(&output.stderr).into());
            }
            rounds.push((client, serde_json::from_slice::<[Mean; 2]>(&output.stdout)?));
        }
    }
    let median = |client, at: usize| {
        let of_client = rounds.iter().filter(|(other, _)| *other == client);
        let mut means: Vec<_> = of_client.map(|(_, means)| means[at]).collect();
        means.sort_by_key(|mean| mean.cpu);
        means[ROUNDS / 2]
    };
    let mut runs = Vec::new();
    for client in LongLivedClient::ALL {
        for (at, operation) in [Operation::Put, Operation::Get].into_iter().enumerate() {
            runs.push(LongLivedRun {
                client,
                operation,
                latency_ms,
                tls,
                mean: median(client, at),
            });
        }
    }
    Ok(runs)
}

/// Puts and gets an object again and again, and prints the mean costs.
pub(crate) fn work(client: LongLivedClient, operations: u32) -> Result<()> {
    let body = Bytes::from(vec![7; LEN]);
    Runtime::new()?.block_on(async {
        let config = aws_config::load_defaults(BehaviorVersion::v2026_01_12()).await;
        let s3 = Client::from_conf(Builder::from(&config).force_path_style(true).build());
        let keyring = || KmsKeyring::builder(&config).key(KEY_ARN).build();
        let means = match client {
            LongLivedClient::Sealwax => {
                let keyring = CachingKeyring::new(keyring()?);
                sealed(SealedClient::builder(s3, keyring).build(), body, operations).await?
            }
            LongLivedClient::Uncached => {
                sealed(SealedClient::builder(s3, keyring()?).build(), body, operations).await?
            }
            LongLivedClient::BareSdk => plain(s3, body, operations).await?,
        };
        serde_json::to_writer(std::io::stdout(), &means)?;
        Ok(())
    })
}

async fn sealed(client: SealedClient, body: Bytes, operations: u32) -> Result<[Mean; 2]> {
    let put = async |bucket: &str| {
        client.put().bucket(bucket).key(KEY).body(body.clone()).send().await.map(drop)
    };
    put(KEPT).await?;
    let put = mean(operations, async || Ok(put(NULL).await?)).await?;
    let get = mean(operations, async || {
        let got = client.get().bucket(KEPT).key(KEY).send().await?.bytes().await?;
        is_whole(&got, &body)
    });
    Ok([put, get.await?])
}

async fn plain(s3: Client, body: Bytes, operations: u32) -> Result<[Mean; 2]> {
    let put = async |bucket: &str| {
        let put = s3.put_object().bucket(bucket).key("plain");
        let put = put.checksum_algorithm(ChecksumAlgorithm::Crc64Nvme);
        let put = put.body(ByteStream::from(body.clone()));
        put.customize().disable_payload_signing().send().await.map(drop)
    };
    put(KEPT).await?;
    let put = mean(operations, async || Ok(put(NULL).await?)).await?;
    let get = mean(operations, async || {
        let got = s3.get_object().bucket(KEPT).key("plain").send().await?;
        is_whole(&got.body.collect().await?.into_bytes(), &body)
    });
    Ok([put, get.await?])
}

fn is_whole(got: &Bytes, body: &Bytes) -> Result<()> {
    match black_box(got) == body {
        true => Ok(()),
        false => Err("what was read is not what was stored".into()),
    }
}

/// Returns the mean cost of `count` runs of `operation`, after some to warm it up.
async fn mean(count: u32, operation: impl AsyncFn() -> Result<()>) -> Result<Mean> {
    for _ in 0..WARMING.min(count) {
        operation().await?;
    }
    let (begin, before) = (Instant::now(), cpu()?);
    for _ in 0..count {
        operation().await?;
    }
    let (wall, cpu) = (begin.elapsed(), cpu()?.saturating_sub(before));
    Ok(Mean { wall: wall / count, cpu: cpu / count })
}

/// Returns the user and system time of this process.
fn cpu() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let micros = [usage.user_time(), usage.system_time()]
        .map(|time| time.tv_sec() * 1_000_000 + time.tv_usec());
    Ok(Duration::from_micros(micros.iter().sum::<i64>().unsigned_abs()))
}
