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
/// Key of another Region.
const WEST_ARN: &str =
    "arn:aws:kms:us-west-2:111122223333:key/0987dcba-09fe-87dc-65ba-ab0987654321";
/// Target: objects per second of the client's CPU time.
const MUST_RATE: f64 = 1500.0;
/// Target: bytes of the client's memory.
const MUST_MEMORY: u64 = 100 << 20;
/// Number of intermediate keys that the objects of one bucket share.
const SHARED_KEYS: u64 = 1000;
/// Seconds for which a drill remembers an intermediate key.
const REMEMBERED: f64 = 300.0;
/// Bucket of the real store.
const BUCKET: &str = "sealwax-bench";

/// Measured run.
struct Run {
    what: &'static str,
    store: &'static str,
    unit: Unit,
    /// Number of units.
    objects: u64,
    cost: Cost,
    requests: Counts,
}

/// Things that a run works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Object,
    /// An intermediate key of a key store, with any number of objects under it.
    Key,
    /// One of many objects under [`SHARED_KEYS`] intermediate keys.
    ObjectOfKey,
}

/// Measures everything, with `fewer` times fewer objects and keys, and writes the report.
pub(crate) fn run(quick: bool, fewer: u64) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let server = Server::start(directory.path(), 0)?;
    let template = directory.path().join("template");
    fs::write(&template, [7; 1024])?;
    let mut put = sealwax(&server, None)?;
    put.arg("put").arg(&template).args(["s3://many/template", "--key", KEY_ARN]);
    measure::run(&put, Stdin::Nothing, directory.path())?;

    let mut runs = Vec::new();
    let (hundred_thousand, million) =
        if quick { (10_000, 20_000) } else { (100_000 / fewer, 1_000_000 / fewer) };
    let journal = directory.path().join("journal");
    for objects in [hundred_thousand, million] {
        let plan = directory.path().join(format!("{objects}.plan"));
        let args = ["--recursive", "--save-plan"];
        let plan_it = many(&server, objects)?.args(args).arg(&plan).args(EDIT).to_owned_command();
        runs.push(measured("plan", &server, objects, &plan_it, directory.path())?);
        if objects == hundred_thousand {
            let mut apply = sealwax(&server, None)?;
            apply.arg("rewrap").arg("--plan").arg(&plan).args(APPLY).arg(&journal);
            runs.push(measured("apply the plan", &server, objects, &apply, directory.path())?);
            fs::remove_file(&journal)?;
            let mut apply = many(&server, objects)?;
            apply.arg("--recursive").args(EDIT).args(APPLY).arg(&journal);
            runs.push(measured("apply to a listing", &server, objects, &apply, directory.path())?);
            fs::remove_file(&journal)?;
        }
        fs::remove_file(&plan)?;
    }
    let shared = directory.path().join("templates");
    fs::create_dir(&shared)?;
    for number in 0..SHARED_KEYS {
        fs::copy(&template, shared.join(number.to_string()))?;
    }
    let mut put = sealwax(&server, None)?;
    put.arg("put").arg(&shared).args(["s3://many/templates/", "--recursive", "--key", KEY_ARN]);
    put.args(["--key-store", "--key-cache", "--key-cache-objects=1", "--no-place-binding"]);
    measure::run(&put, Stdin::Nothing, directory.path())?;
    let mut recovery = sealwax(&server, None)?;
    recovery.args(["keys", "rewrap", "s3://many", "--key-store", "--quiet"]);
    recovery.args(["--key", KEY_ARN, "--add", WEST_ARN]);
    let run =
        measured("rewrap for the other Region", &server, SHARED_KEYS, &recovery, directory.path())?;
    runs.push(Run { unit: Unit::Key, ..run });
    for (what, name, args) in SHARED_RUNS {
        let mut command = sealwax(&server, None)?;
        command.arg(name).arg(format!("s3://many/n{million}of{SHARED_KEYS}/")).args(args);
        let run = measured(what, &server, million, &command, directory.path())?;
        runs.push(Run { unit: Unit::ObjectOfKey, ..run });
    }
    // As many as 300 million objects of 20 writers with hourly keys have in a year.
    let year = if quick { 2_000 } else { KEYS_OF_A_YEAR / fewer };
    for (what, args) in KEY_RUNS {
        let mut command = sealwax(&server, None)?;
        command.arg("keys").args(args).arg("s3://many").arg(format!("--key-store=k{year}/"));
        let run = measured(what, &server, year, &command, directory.path())?;
        runs.push(Run { unit: Unit::Key, ..run });
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
/// Commands on a key store: the name of the run, and the subcommand with its options.
const KEY_RUNS: [(&str, &[&str]); 3] = [
    ("list the keys", &["ls", "--json", "--key", KEY_ARN, "--key", OTHER_ARN]),
    ("rewrap the keys", &["rewrap", "--quiet", "--key", KEY_ARN, "--add", OTHER_ARN]),
    ("verify the keys", &["verify", "--quiet", "--key", KEY_ARN]),
];
/// Commands on the objects of a bucket with a key store: the name of the run, the command and its
/// options.
const SHARED_RUNS: [(&str, &str, &[&str]); 2] = [
    ("audit", "audit", &["--key-store", "--no-place-binding"]),
    (
        "drill",
        "drill",
        &[
            "--key-store",
            "--no-place-binding",
            "--region",
            "us-west-2",
            "--block",
            "us-east-1",
            "--key",
            WEST_ARN,
        ],
    ),
];
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
    Ok(Run { what, store: "null", unit: Unit::Object, objects, cost, requests })
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
    let (what, store) = ("apply to a listing", "SeaweedFS");
    Ok(Run { what, store, unit: Unit::Object, objects, cost, requests })
}

fn credentials() -> Credentials {
    Credentials::new("test", "test", None, None, "bench")
}

impl Unit {
    fn plural(self) -> &'static str {
        match self {
            Self::Object => "objects",
            Self::Key => "keys",
            Self::ObjectOfKey => "objects under 1000 keys",
        }
    }
}

impl Run {
    fn per_cpu_second(&self) -> f64 {
        self.objects as f64 / self.cost.cpu.as_secs_f64()
    }

    /// `true` if the run meets the targets.
    fn meets(&self) -> bool {
        let fast = self.store != "null" || self.per_cpu_second() >= MUST_RATE;
        let calls: &[_] = match self.unit {
            Unit::Object => &["HeadObject", "ReEncrypt", "CopyObject"],
            Unit::Key => &["GetObject", "ReEncrypt", "Decrypt", "PutObject"],
            Unit::ObjectOfKey => &["HeadObject"],
        };
        let once = calls.iter().all(|call| self.requests.get(call) <= self.objects);
        let no_bodies = self.unit == Unit::Key || self.requests.get("bytes_in") == 0;
        let times = 1.0 + (self.cost.wall.as_secs_f64() / REMEMBERED).floor();
        let of_keys = self.unit != Unit::ObjectOfKey
            || self.requests.get("Decrypt") as f64 <= SHARED_KEYS as f64 * times;
        fast && once && of_keys && self.cost.memory <= MUST_MEMORY && no_bodies
    }
}

fn report(runs: &[Run]) -> Result<String> {
    let mut text = String::from(
        "# Benchmarks of bulk rewraps\n\nGenerated by `make bench-rewrap`; edits are lost.\n\n",
    );
    text += &machine::describe()?;
    text += &format!(
        "\nTargets: {MUST_RATE:.0} objects per second of the client's CPU time (one core) against the null server; \
         one `HeadObject`, one KMS call and one copy per object, and no body byte; for an intermediate key of a key store, \
         one `GetObject`, one KMS call and one `PutObject`; for a drill of objects that share intermediate keys, one \
         `HeadObject` per object, and one KMS call per key in five minutes; at most {} MiB of memory for any \
         number of objects or keys.\n\n",
        MUST_MEMORY >> 20
    );
    text += "Each object has one wrapping key, and gets a second one of the same Region (KMS `ReEncrypt`). Each run is a \
             separate process of the command's release build with its defaults (128 objects in parallel). The null \
             server is S3 and KMS on the loopback interface and stores nothing. With SeaweedFS, it is only KMS, and \
             1 % of the objects are read with the new key afterwards. CPU is the command's user and system time; \
             memory is its peak resident set size. Traffic is plain HTTP.\n\n";
    text += "| run | store | of | wall s | CPU s | of them/s | of them/CPU s | memory MiB | met |\n|---|---|--:|--:|--:|--:|--:|--:|---|\n";
    for run in runs {
        let wall = run.cost.wall.as_secs_f64();
        text += &format!(
            "| {} | {} | {} {} | {wall:.1} | {:.1} | {:.0} | {:.0} | {:.1} | {} |\n",
            run.what,
            run.store,
            run.objects,
            run.unit.plural(),
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
            "- {}, {}, {} {}: {}\n",
            run.what,
            run.store,
            run.objects,
            run.unit.plural(),
            requests.join(", ")
        );
    }
    text += &at_scale(runs);
    Ok(text)
}

/// Computes what the rewrap of a year's objects costs, from the requests and the CPU time that the runs
/// took for each object or key.
fn at_scale(runs: &[Run]) -> String {
    let mut text = format!(
        "\nThe same change for {OBJECTS_OF_A_YEAR} objects of {BODY_KIB} KiB, computed from these runs: object by \
         object, or by the {KEYS_OF_A_YEAR} intermediate keys that 20 writers with hourly keys and one encryption \
         context have made in a year. Prices are the default estimates of `rewrap --save-plan`: S3 requests of {} \
         to {} USD per 1,000, KMS calls of {} USD per 10,000.\n\n\
         | way | of | KMS calls | S3 requests | USD | CPU hours | bodies stored once more |\n\
         |---|--:|--:|--:|--:|--:|--:|\n",
        PRICES.s3_gets_per_1000, PRICES.s3_puts_per_1000, PRICES.kms_per_10000
    );
    for (what, way) in
        [("apply to a listing", "rewrap of each object"), ("rewrap the keys", "rewrap of the keys")]
    {
        let Some(run) = runs.iter().rfind(|run| run.what == what && run.store == "null") else {
            continue;
        };
        let (of, bodies) = match run.unit {
            Unit::Key => (KEYS_OF_A_YEAR, 0),
            Unit::Object | Unit::ObjectOfKey => (OBJECTS_OF_A_YEAR, OBJECTS_OF_A_YEAR * BODY_KIB),
        };
        let scale = of as f64 / run.objects as f64;
        let (mut kms, mut s3, mut usd) = (0.0, 0.0, 0.0);
        for (name, count) in run.requests.requests() {
            let count = count as f64 * scale;
            let (calls, price) = match name {
                "ReEncrypt" | "Encrypt" | "Decrypt" => (&mut kms, PRICES.kms_per_10000 / 10_000.0),
                "HeadObject" | "GetObject" => (&mut s3, PRICES.s3_gets_per_1000 / 1000.0),
                _ => (&mut s3, PRICES.s3_puts_per_1000 / 1000.0),
            };
            usd += count * price;
            *calls += count;
        }
        let hours = run.cost.cpu.as_secs_f64() * scale / 3600.0;
        text += &format!(
            "| {way} | {of} | {kms:.0} | {s3:.0} | {usd:.2} | {hours:.2} | {} GiB |\n",
            bodies >> 20
        );
    }
    text
}

const OBJECTS_OF_A_YEAR: u64 = 300_000_000;
const KEYS_OF_A_YEAR: u64 = 175_000;
/// Length of a stored body in KiB.
const BODY_KIB: u64 = 90;

/// List prices of us-east-1, as in the plans of `sealwax rewrap`.
struct Prices {
    s3_gets_per_1000: f64,
    s3_puts_per_1000: f64,
    kms_per_10000: f64,
}

const PRICES: Prices =
    Prices { s3_gets_per_1000: 0.0004, s3_puts_per_1000: 0.005, kms_per_10000: 0.03 };
