//! Bulk rewraps of small objects: `make bench-rewrap` writes `docs/BENCHMARKS-REWRAP.md`.

use std::{env, fs, path::Path, process::Command, time::Duration};

use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::{
    Client,
    config::{Builder, Credentials},
    operation::create_bucket::CreateBucketError,
};
use futures_util::{StreamExt as _, stream};
use sealwax_s3::{KmsKeyring, SealedClient};
use tokio::runtime::Runtime;

use crate::{
    Result,
    contender::{AWS_ENVIRONMENT, KEY_ARN},
    machine,
    measure::{self, Cost, Stdin},
    peers,
    servers::{Counts, Server},
};

/// Key to add.
const OTHER_ARN: &str =
    "arn:aws:kms:us-east-1:111122223333:key/0987dcba-09fe-87dc-65ba-ab0987654321";
/// Target: objects per second of the client's CPU time.
const MUST_RATE: f64 = 1500.0;
/// Target: bytes of the client's memory.
const MUST_MEMORY: u64 = 100 << 20;
/// Bucket of the real store.
const BUCKET: &str = "sealwax-bench";

/// Measured run.
struct Run {
    what: &'static str,
    store: &'static str,
    objects: u64,
    cost: Cost,
    requests: Counts,
}

/// Measures everything and writes the report.
pub(crate) fn run(quick: bool) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let server = Server::start(directory.path(), 0)?;
    let template = directory.path().join("template");
    fs::write(&template, [7; 1024])?;
    let mut put = sealwax(&server, None)?;
    put.arg("put").arg(&template).args(["s3://many/template", "--key", KEY_ARN]);
    measure::run(&put, Stdin::Nothing, directory.path())?;

    let mut runs = Vec::new();
    let (hundred_thousand, million) = if quick { (10_000, 20_000) } else { (100_000, 1_000_000) };
    let journal = directory.path().join("journal");
    for objects in [hundred_thousand, million] {
        let plan = directory.path().join(format!("{objects}.plan"));
        let args = ["--recursive", "--save-plan"];
        let plan_it = many(&server, objects)?.args(args).arg(&plan).args(EDIT).to_owned_command();
        runs.push(measured("plan", &server, objects, &plan_it, directory.path())?);
        let apply = sealwax(&server, None)?
            .arg("rewrap")
            .arg("--plan")
            .arg(&plan)
            .args(APPLY)
            .arg(&journal)
            .to_owned_command();
        if objects == hundred_thousand {
            runs.push(measured("apply the plan", &server, objects, &apply, directory.path())?);
            fs::remove_file(&journal)?;
        }
        fs::remove_file(&plan)?;
        let apply = many(&server, objects)?
            .arg("--recursive")
            .args(EDIT)
            .args(APPLY)
            .arg(&journal)
            .to_owned_command();
        runs.push(measured("apply to a listing", &server, objects, &apply, directory.path())?);
        fs::remove_file(&journal)?;
    }
    if let Ok(store) = env::var("SEALWAX_TEST_SEAWEEDFS_URL") {
        runs.push(real(&server, &store, if quick { 1000 } else { 10_000 }, directory.path())?);
    }
    let text = report(&runs)?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let out = if quick { "target/bench/REWRAP-QUICK.md" } else { "docs/BENCHMARKS-REWRAP.md" };
    if let Some(parent) = root.join(out).parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(root.join(out), &text)?;
    println!("{text}");
    let missed = runs.iter().any(|run| !run.meets());
    if missed { Err("a target was missed".into()) } else { Ok(()) }
}

const EDIT: [&str; 4] = ["--add", OTHER_ARN, "--key", KEY_ARN];
const APPLY: [&str; 3] = ["--apply", "--quiet", "--journal"];

trait Owned {
    fn to_owned_command(&self) -> Command;
}

impl Owned for Command {
    /// Returns a copy, because builder methods return a reference.
    fn to_owned_command(&self) -> Command {
        let mut command = Self::new(self.get_program());
        command.args(self.get_args());
        for (name, value) in self.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }
}

/// Returns the command with the null server as its only AWS endpoint, except for S3 if `s3` is
/// given.
fn sealwax(server: &Server, s3: Option<&str>) -> Result<Command> {
    let mut command = Command::new(peers::sealwax()?);
    command
        .env("AWS_ENDPOINT_URL", &server.endpoint)
        .envs(AWS_ENVIRONMENT)
        .env_remove("AWS_PROFILE");
    if let Some(s3) = s3 {
        command
            .env("AWS_ENDPOINT_URL_S3", s3)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test");
    }
    Ok(command)
}

fn many(server: &Server, objects: u64) -> Result<Command> {
    let mut command = sealwax(server, None)?;
    command.arg("rewrap").arg(format!("s3://many/n{objects}/"));
    Ok(command)
}

fn measured(
    what: &'static str,
    server: &Server,
    objects: u64,
    command: &Command,
    directory: &Path,
) -> Result<Run> {
    let before = server.counts()?;
    let (cost, _) = measure::run(command, Stdin::Nothing, directory)?;
    let requests = server.counts()?.since(&before);
    eprintln!("{what}, {objects} objects: {cost:?}");
    Ok(Run { what, store: "null", objects, cost, requests })
}

/// Seals objects in a real store, rewraps them, and reads some with the new key alone.
fn real(server: &Server, store: &str, objects: u64, directory: &Path) -> Result<Run> {
    let prefix = format!("{}-{objects}/", std::process::id());
    let config = aws_config::SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .credentials_provider(aws_sdk_s3::config::SharedCredentialsProvider::new(credentials()))
        .endpoint_url(&server.endpoint)
        .build();
    let s3 = Client::from_conf(
        Builder::from(&config).endpoint_url(store).force_path_style(true).build(),
    );
    let client = |arn: &str| -> Result<SealedClient> {
        Ok(SealedClient::builder(s3.clone(), KmsKeyring::builder(&config).key(arn).build()?)
            .build())
    };
    let (old, new) = (client(KEY_ARN)?, client(OTHER_ARN)?);
    let runtime = Runtime::new()?;
    runtime.block_on(async {
        if let Err(error) = s3.create_bucket().bucket(BUCKET).send().await
            && !matches!(
                error.as_service_error(),
                Some(
                    CreateBucketError::BucketAlreadyExists(_)
                        | CreateBucketError::BucketAlreadyOwnedByYou(_)
                )
            )
        {
            return Err(error.into());
        }
        let put = |number| {
            let put =
                old.put().bucket(BUCKET).key(format!("{prefix}{number:08}")).body(vec![7; 1024]);
            async move { put.send().await.map(drop) }
        };
        let mut puts = stream::iter(0..objects).map(put).buffer_unordered(32);
        while let Some(done) = puts.next().await {
            done?;
        }
        // Otherwise each rewrap waits, because S3 timestamps have one-second resolution.
        tokio::time::sleep(Duration::from_secs(3)).await;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
    })?;
    let mut command = sealwax(server, Some(store))?;
    command
        .arg("rewrap")
        .arg(format!("s3://{BUCKET}/{prefix}"))
        .arg("--recursive")
        .args(EDIT)
        .args(APPLY);
    command.arg(directory.join("journal"));
    let before = server.counts()?;
    let (cost, _) = measure::run(&command, Stdin::Nothing, directory)?;
    let requests = server.counts()?.since(&before);
    runtime.block_on(async {
        for number in (0..objects).step_by(usize::try_from(objects / 100)?) {
            let object =
                new.get().bucket(BUCKET).key(format!("{prefix}{number:08}")).send().await?;
            if object.bytes().await? != [7; 1024][..] {
                return Err("an object is not what was sealed".into());
            }
        }
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
    })?;
    Ok(Run { what: "apply to a listing", store: "SeaweedFS", objects, cost, requests })
}

fn credentials() -> Credentials {
    Credentials::new("test", "test", None, None, "bench")
}

impl Run {
    fn per_cpu_second(&self) -> f64 {
        self.objects as f64 / self.cost.cpu.as_secs_f64()
    }

    /// `true` if the run meets the targets.
    fn meets(&self) -> bool {
        let fast = self.store != "null" || self.per_cpu_second() >= MUST_RATE;
        let once = ["HeadObject", "ReEncrypt", "CopyObject"]
            .iter()
            .all(|call| self.requests.get(call) <= self.objects);
        fast && once && self.cost.memory <= MUST_MEMORY && self.requests.get("bytes_in") == 0
    }
}

fn report(runs: &[Run]) -> Result<String> {
    let mut text = String::from(
        "# Benchmarks of bulk rewraps\n\nGenerated by `make bench-rewrap`; edits are lost.\n\n",
    );
    text += &machine::describe()?;
    text += &format!(
        "\nTargets: {MUST_RATE:.0} objects per second of the client's CPU time (one core) against the null server; \
         one `HeadObject`, one KMS call and one copy per object, and no body byte; at most {} MiB of memory for any \
         number of objects.\n\n",
        MUST_MEMORY >> 20
    );
    text += "Each object has one wrapping key, and gets a second one of the same Region (KMS `ReEncrypt`). Each run is a \
             separate process of the command's release build with its defaults (128 objects in parallel). The null \
             server is S3 and KMS on the loopback interface and stores nothing. With SeaweedFS, it is only KMS, and \
             1 % of the objects are read with the new key afterwards. CPU is the command's user and system time; \
             memory is its peak resident set size. Traffic is plain HTTP.\n\n";
    text += "| run | store | objects | wall s | CPU s | objects/s | objects/CPU s | memory MiB | met |\n|---|---|--:|--:|--:|--:|--:|--:|---|\n";
    for run in runs {
        let wall = run.cost.wall.as_secs_f64();
        text += &format!(
            "| {} | {} | {} | {wall:.1} | {:.1} | {:.0} | {:.0} | {:.1} | {} |\n",
            run.what,
            run.store,
            run.objects,
            run.cost.cpu.as_secs_f64(),
            run.objects as f64 / wall,
            run.per_cpu_second(),
            run.cost.memory as f64 / f64::from(1 << 20),
            if run.meets() { "yes" } else { "**no**" },
        );
    }
    text += "\nAll requests that the null server counted:\n\n";
    for run in runs {
        let requests: Vec<_> =
            run.requests.requests().map(|(name, count)| format!("{count} {name}")).collect();
        text += &format!(
            "- {}, {}, {} objects: {}\n",
            run.what,
            run.store,
            run.objects,
            requests.join(", ")
        );
    }
    Ok(text)
}
