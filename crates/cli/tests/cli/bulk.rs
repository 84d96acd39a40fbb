//! Rewraps of many objects: dry runs, plans, kills, interrupts, exit codes.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    env, fs,
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::Child,
    thread,
    time::{Duration, Instant},
};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::{
    config::{Credentials, SharedCredentialsProvider},
    types::MetadataDirective,
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sealwax_s3::{KmsKeyring, S3Uri, SealedClient};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::support::{
    HeldHeads, Random, Run, Scene, Sealwax, east_key, endpoint, second_s3, send, wait_until,
    west_key,
};

/// One bucket for all tests, because each bucket takes seven volumes of SeaweedFS.
const BUCKET: &str = "sealwax-tests";

/// Many small objects in SeaweedFS, which honours conditions on copies; KMS is LocalStack's.
pub(crate) struct Many {
    scene: Scene,
    prefix: String,
    pub(crate) uris: Vec<S3Uri>,
    runtime: Runtime,
    config: SdkConfig,
}

impl Many {
    /// Seals `count` objects under the key in us-east-1. Each has its own key as plaintext.
    pub(crate) fn new(name: &str, count: usize) -> Self {
        let scene = Scene::new(name);
        let credentials = Credentials::new("test", "test", None, None, "tests");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("us-east-1"))
            .endpoint_url(endpoint())
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .build();
        let prefix = format!("{}/", scene.key);
        let uri = |n: usize| format!("s3://{BUCKET}/{prefix}{n:04}").parse().expect("an address");
        let uris: Vec<S3Uri> = (0..count).map(uri).collect();
        let runtime = Runtime::new().expect("a runtime");
        let this = Self { scene, prefix, uris, runtime, config };
        let client = this.client(&east_key());
        let puts =
            this.uris.iter().map(|uri| client.put().uri(uri).body(uri.key().to_owned()).send());
        this.runtime.block_on(async {
            // It may already exist.
            let _ = client.s3().create_bucket().bucket(BUCKET).send().await;
            stream::iter(puts).buffer_unordered(8).try_collect::<Vec<_>>().await.expect("put");
        });
        this
    }

    pub(crate) fn client(&self, key: &str) -> SealedClient {
        let s3 = aws_sdk_s3::config::Builder::from(&self.config)
            .endpoint_url(second_s3())
            .force_path_style(true);
        let keyring = KmsKeyring::builder(&self.config).key(key).build().expect("an ARN");
        SealedClient::builder(aws_sdk_s3::Client::from_conf(s3.build()), keyring).build()
    }

    pub(crate) fn address(&self) -> String {
        format!("s3://{BUCKET}/{}", self.prefix)
    }

    /// Returns the command `rewrap` for all objects.
    pub(crate) fn rewrap(&self, args: &[&str]) -> Sealwax {
        self.command(&["rewrap", &self.address(), "--recursive"]).args(args)
    }

    pub(crate) fn command(&self, args: &[&str]) -> Sealwax {
        let command = Sealwax::new(args).env("AWS_ENDPOINT_URL_S3", second_s3());
        command
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("XDG_STATE_HOME", self.path(""))
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.scene.path(name).to_str().expect("a path in ASCII").to_owned()
    }

    /// Replaces an object by a new one with the same plaintext, under `key` alone.
    pub(crate) fn overwrite(&self, at: usize, key: &str) {
        let (client, uri) = (self.client(key), &self.uris[at]);
        let put = client.put().uri(uri).body(uri.key().to_owned());
        self.runtime.block_on(put.send()).expect("put");
    }

    fn delete(&self, at: usize) {
        let delete = self.client(&east_key()).delete().uri(&self.uris[at]).send();
        self.runtime.block_on(delete).expect("deleted");
    }

    fn metadata(&self, at: usize) -> HashMap<String, String> {
        let (client, uri) = (self.client(&east_key()), &self.uris[at]);
        let head = client.s3().head_object().bucket(uri.bucket()).key(uri.key());
        self.runtime.block_on(head.send()).expect("there").metadata.expect("metadata")
    }

    /// Gives an object other metadata, and with it other keys. Its entity tag stays.
    fn restore(&self, at: usize, metadata: HashMap<String, String>) {
        let (client, uri) = (self.client(&east_key()), &self.uris[at]);
        let copy = client.s3().copy_object().bucket(uri.bucket()).key(uri.key());
        let copy = copy
            .copy_source(format!("{}/{}", uri.bucket(), uri.key()))
            .metadata_directive(MetadataDirective::Replace)
            .set_metadata(Some(metadata));
        self.runtime.block_on(copy.send()).expect("restored");
    }

    /// Asserts that all objects open by `key` alone with their plaintext; returns their
    /// generations.
    pub(crate) fn opened_by(&self, key: &str) -> Vec<u32> {
        let client = self.client(key);
        let read = |uri: &S3Uri| {
            let (get, uri) = (client.get().uri(uri), uri.clone());
            async move {
                let object = get.send().await.unwrap_or_else(|error| panic!("{uri}: {error}"));
                let generation = object.info().generation();
                assert_eq!(object.bytes().await.expect("its bytes"), uri.key(), "{uri}");
                generation
            }
        };
        self.runtime.block_on(stream::iter(self.uris.iter().map(read)).buffered(8).collect())
    }
}

/// Returns how often each object is done according to a journal.
fn done(journal: &Path) -> BTreeMap<String, usize> {
    let mut done = BTreeMap::new();
    for line in fs::read_to_string(journal).expect("a journal").lines() {
        let line: Value = serde_json::from_str(line).expect("JSON");
        if let (Some(object), Some("rewrapped" | "claimed")) =
            (line["object"].as_str(), line["outcome"].as_str())
        {
            *done.entry(object.to_owned()).or_insert(0) += 1;
        }
    }
    done
}

/// `true` if the journal says that the job is complete, so that a rerun is a new job.
fn has_ended(journal: &Path) -> bool {
    fs::read_to_string(journal)
        .is_ok_and(|text| text.ends_with("}}\n") && text.contains("\n{\"ended\":"))
}

/// Kills the command after this time; returns its run if it ended before.
fn kill_after(mut child: Child, after: Duration) -> Option<Run> {
    let until = Instant::now() + after;
    while Instant::now() < until {
        if child.try_wait().expect("its state").is_some() {
            break;
        }
        thread::sleep(Duration::from_millis(1));
    }
    if child.try_wait().expect("its state").is_none() {
        child.kill().expect("killed");
        child.wait().expect("its end");
        return None;
    }
    Some(Run::new(child.wait_with_output().expect("its output")))
}

/// After each kill, another writer overwrites, deletes or restores an object. `SEALWAX_KILLS` sets
/// the number of kills, `SEALWAX_KILLS_SEED` their times and the writes.
#[test]
fn a_repeatedly_killed_job_does_each_object_once_and_again_if_it_changed() {
    let variable = |name: &str, default: u64| {
        env::var(name).ok().and_then(|it| it.parse().ok()).unwrap_or(default)
    };
    let (kills, seed) = (variable("SEALWAX_KILLS", 50), variable("SEALWAX_KILLS_SEED", 1));
    let (many, mut random, mut killed, mut jobs) =
        (Many::new("kills", 100), Random::new(seed), 0, 0_u32);
    let (east, west) = (east_key(), west_key());
    let mut generations = vec![1; many.uris.len()];
    while killed < kills {
        // Alternates between the keys of two Regions, and between a plan and a listing.
        let (old, new) = if jobs % 2 == 0 { (&east, &west) } else { (&west, &east) };
        let (journal, plan) =
            (many.path(&format!("{jobs}.journal")), many.path(&format!("{jobs}.plan")));
        let edits = ["--add", new, "--remove", old];
        let apply = ["--apply", "--json", "--concurrency", "8", "--journal", &journal];
        let by_plan = jobs % 2 == 1;
        let (mut touched, mut deleted) = (BTreeSet::new(), BTreeSet::new());
        // The last object is restored to the state before the job.
        let last = many.uris.len() - 1;
        let before = many.metadata(last);
        if by_plan {
            many.rewrap(&edits).args(["--save-plan", &plan]).run().exits(0);
        }
        let command = || match by_plan {
            true => many.command(&["rewrap", "--plan", &plan]).args(apply),
            false => many.rewrap(&edits).args(apply),
        };
        loop {
            let after = if killed < kills { random.below(600) as u64 } else { 600_000 };
            match kill_after(command().spawn(), Duration::from_millis(after)) {
                None => {
                    killed += 1;
                    if has_ended(Path::new(&journal)) {
                        break;
                    }
                    let at = random.below(last);
                    // An object is rewrapped when its second is over, so a job of many writes never ends.
                    match random.below(4) {
                        _ if touched.len() + deleted.len() > 2 => {}
                        0 if deleted.insert(at) => many.delete(at),
                        1 => {
                            touched.insert(last);
                            many.restore(last, before.clone());
                        }
                        _ => {
                            deleted.remove(&at);
                            many.overwrite(at, old);
                            generations[at] = 1;
                            touched.insert(at);
                        }
                    }
                }
                Some(run) => {
                    run.exits(0);
                    break;
                }
            }
        }
        jobs += 1;
        generations.iter_mut().for_each(|generation| *generation += 1);
        let done = done(Path::new(&journal));
        for at in deleted {
            many.overwrite(at, new);
            generations[at] = 1;
            touched.insert(at);
        }
        assert_eq!(many.opened_by(new), generations, "seed {seed}: rewrapped once a job");
        for (at, uri) in many.uris.iter().enumerate().filter(|(at, _)| !touched.contains(at)) {
            let times = done.get(&uri.to_string()).copied();
            assert_eq!(times, Some(1), "seed {seed}: object {at} is done once");
        }
    }
    println!("{killed} kills in {jobs} jobs");
}

#[test]
fn a_dry_run_prints_the_plan_and_changes_nothing() {
    let many = Many::new("dry", 3);
    let west = west_key();
    let run = many.rewrap(&["--add", &west]).run().exits(0);
    let said = String::from_utf8(run.stdout).expect("text");
    assert!(
        said.starts_with("3 objects: 3 to rewrap, 0 already have the requested keys\n"),
        "{said}"
    );
    assert!(said.contains("KMS in us-west-2: at most 3 calls"), "{said}");
    assert!(
        said.contains("  estimate: 1 s at the quotas, under 0.01 USD for requests ("),
        "{said}"
    );
    assert!(!said.contains("storage in"), "the bucket has no versions: {said}");
    assert!(run.stderr.contains("nothing was changed; pass --apply to rewrap"), "{}", run.stderr);
    assert_eq!(many.opened_by(&east_key()), [1; 3]);

    let prices =
        many.scene.file("prices.json", b"{\"copies_per_1000\": 1000, \"currency\": \"EUR\"}");
    let prices = prices.to_str().expect("a path");
    let run = many.rewrap(&["--add", &west, "--prices", prices, "--json"]).run().exits(0);
    let lines = String::from_utf8(run.stdout).expect("text");
    let last: Value = serde_json::from_str(lines.lines().last().expect("a line")).expect("JSON");
    let estimate = &last["summary"]["estimate"];
    assert_eq!(
        (estimate["currency"].as_str(), estimate["cost"].as_f64().map(f64::floor)),
        (Some("EUR"), Some(3.0))
    );
    assert_eq!(lines.lines().count(), 4);
    let wrong = many.scene.file("wrong.json", b"{\"copies\": 1}");
    many.rewrap(&["--add", &west, "--prices", wrong.to_str().expect("a path")])
        .run()
        .fails(2, "cannot use price table");
}

#[test]
fn a_plan_is_applied_with_its_own_settings() {
    let many = Many::new("plan", 3);
    let (plan, west) = (many.path("plan"), west_key());
    many.rewrap(&["--add", &west, "--save-plan", &plan]).run().exits(0);
    let shown = many.command(&["rewrap", "--plan", &plan]).run().exits(0);
    assert!(shown.stdout.starts_with(b"3 objects: 3 to rewrap"));
    many.command(&["rewrap", "--plan", &plan, "--apply", "--region", "us-west-2"])
        .run()
        .fails(2, "the plan is for Region us-east-1, not us-west-2");
    let both = many.command(&["rewrap", "--plan", &plan, "--add", &west]).run().exits(2);
    both.says("'--plan <FILE>' cannot be used with:\n  --add");
    let run = many.command(&["rewrap", "--plan", &plan, "--apply"]).run().exits(0);
    assert_eq!(run.stderr, "3 rewrapped, 0 unchanged\n");
    assert_eq!(many.opened_by(&west), [2; 3]);
    assert!(
        fs::read_dir(many.path("sealwax")).expect("the state directory").next().is_none(),
        "the journal is gone"
    );
    fs::write(&plan, &fs::read(&plan).expect("the plan")[..200]).expect("cut off");
    many.command(&["rewrap", "--plan", &plan, "--apply"]).run().fails(2, "cannot read the plan");
}

#[test]
fn exit_codes_tell_all_some_and_none() {
    let many = Many::new("codes", 3);
    let (east, west) = (east_key(), west_key());
    let names = many.uris.iter().map(|uri| uri.key().to_owned() + "\n").collect::<String>();
    let of_names = |names: &str| {
        many.command(&["rewrap", &format!("s3://{BUCKET}"), "--stdin", "--add", &west, "--apply"])
            .input(names.as_bytes())
            .run()
    };
    let some = of_names(&format!("{names}not-there\n")).exits(7);
    let said = String::from_utf8(some.stdout).expect("text");
    assert!(
        said.starts_with(&format!("failed s3://{BUCKET}/not-there: ")) && said.lines().count() == 1,
        "{said}"
    );
    assert!(some.stderr.contains("1 of 4 objects were not rewrapped"), "{}", some.stderr);
    of_names("not-there\n").exits(8).says("1 of 1 object was not rewrapped");
    of_names("{}\n").fails(2, "names neither an object nor a key");
    // No object loses its last key.
    let last = many.rewrap(&["--remove", &west, "--remove", &east, "--apply"]).run().exits(8);
    let last = String::from_utf8(last.stdout).expect("text");
    assert_eq!(last.matches("is its last wrapping key").count(), 3, "{last}");
    assert_eq!(many.opened_by(&east), [2; 3]);
    many.rewrap(&["--remove", &west]).run().exits(0);
    many.command(&["rewrap", &format!("s3://{BUCKET}"), "--remove", &west])
        .run()
        .fails(2, "is not s3://BUCKET/KEY");
    let place = many.rewrap(&["--add", &west, "--accept-place", "b/k"]).run().exits(2);
    place.says("'--accept-place <BUCKET/KEY>' cannot be used with:\n  --recursive");
    let nothing = format!("s3://{BUCKET}/{}no-such-prefix", many.prefix);
    for more in [&["--apply"][..], &[]] {
        let run = many
            .command(&["rewrap", &nothing, "--recursive", "--add", &west])
            .args(more)
            .run()
            .exits(4);
        assert!(run.stderr.contains("no objects match"), "{}", run.stderr);
    }
    let one = many.command(&["rewrap", &many.uris[0].to_string(), "--add", &west, "--apply"]);
    one.run().exits(2).says("required arguments were not provided:\n  <--recursive");
}

#[test]
fn an_interrupted_job_finishes_objects_in_flight_and_offers_to_resume() {
    let many = Many::new("interrupt", 40);
    let west = west_key();
    let journal = many.path("journal");
    let args = ["--add", &west, "--apply", "--concurrency", "2", "--journal", &journal];
    // The job can't end before it is interrupted.
    let held = HeldHeads::after(12, &second_s3());
    let mut child = many.rewrap(&args).env("AWS_ENDPOINT_URL_S3", held.url()).spawn();
    let lines = || fs::read_to_string(&journal).map_or(0, |text| text.lines().count());
    wait_until("some objects are done", || lines() > 3);
    send("INT", &child);
    let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
    let mut said = String::new();
    while !said.contains("stopping") {
        assert_ne!(stderr.read_line(&mut said).expect("text"), 0, "{said}");
    }
    held.let_go();
    stderr.read_to_string(&mut said).expect("text");
    let run = Run::new(child.wait_with_output().expect("it ends"));
    let run = Run { stderr: said, ..run }.exits(130);
    assert!(run.stderr.contains("  to resume: "), "{}", run.stderr);
    let before = done(Path::new(&journal)).len();
    assert!(before < 40, "it was not stopped");
    let again = many.rewrap(&args).env("AWS_ENDPOINT_URL_S3", held.url());
    let run = again.run().exits(0);
    assert!(run.stderr.contains(&format!("{before} completed by earlier runs")), "{}", run.stderr);
    assert_eq!(many.opened_by(&west), [2; 40]);
    assert!(done(Path::new(&journal)).values().all(|times| *times == 1));
}
