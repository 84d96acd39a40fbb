//! docs/DISASTER-RECOVERY.md: every command, in order.

use std::{
    collections::BTreeMap,
    env, fs,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use sealwax_s3::aws_sdk_kms;
use tokio::runtime::Runtime;

use crate::support::{
    LostRegion, RawS3, Run, Scene, Sealwax, endpoint, server_env, wait_until, west_key,
};

/// Step of the document.
enum Step {
    /// Commands.
    Run(String),
    /// Event between the commands.
    Happens(String),
}

fn steps() -> Vec<Step> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/DISASTER-RECOVERY.md");
    let document = fs::read_to_string(path).expect("the document");
    let (mut steps, mut block): (Vec<Step>, Option<String>) = (Vec::new(), None);
    let mut is_setting = false;
    for line in document.lines() {
        match (&mut block, line) {
            (None, "```" | "```cron" | "```ini" | "```json") => is_setting = line != "```",
            (None, _) if is_setting => {}
            (None, "```sh") => block = Some(String::new()),
            (None, _) => {
                assert!(!line.starts_with("```"), "a block that is not run: {line}");
                let happens =
                    line.strip_prefix("<!-- test: ").and_then(|line| line.strip_suffix(" -->"));
                steps.extend(happens.map(|what| Step::Happens(what.to_owned())));
            }
            (Some(_), "```") => steps.extend(block.take().map(Step::Run)),
            (Some(text), _) => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    steps
}

/// Two Regions and their loss.
struct World {
    source: Scene,
    replica: Scene,
    /// Keys of this test in the East; the first one is retired.
    east_keys: [String; 2],
    s3: RawS3,
    /// Proxy without the East, once it is lost.
    lost: Option<LostRegion>,
    /// Time of its loss.
    lost_at: String,
}

impl World {
    fn new() -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let loader = aws_config::defaults(BehaviorVersion::v2026_01_12());
        let loader = loader.region(Region::from_static("us-east-1")).endpoint_url(endpoint());
        let kms = aws_sdk_kms::Client::new(&runtime.block_on(loader.load()));
        let new_key = || {
            let created = runtime.block_on(kms.create_key().send()).expect("a key");
            created.key_metadata.and_then(|key| key.arn).expect("an ARN")
        };
        let east_keys = [new_key(), new_key()];
        // The document creates the buckets.
        let (mut source, mut replica) = (Scene::new("runbook"), Scene::new("runbook"));
        let name = source.path("").file_name().expect("a name").to_string_lossy().to_lowercase();
        let name = format!("runbook-{}-{}", std::process::id(), name.replace(['_', '.'], "-"));
        (source.bucket, source.key) = (name.clone(), "2026".into());
        (replica.bucket, replica.key) = (format!("{name}-west"), "2026".into());
        Self { source, replica, east_keys, s3: RawS3::new(), lost: None, lost_at: String::new() }
    }

    /// Returns the document's variables with this test's values.
    fn names(&self) -> BTreeMap<&'static str, String> {
        [
            ("SOURCE", self.source.bucket.clone()),
            ("REPLICA", self.replica.bucket.clone()),
            ("EAST", "us-east-1".into()),
            ("WEST", "us-west-2".into()),
            ("EAST_KEY", self.east_keys[0].clone()),
            ("WEST_KEY", west_key()),
            ("NEW_KEY", self.east_keys[1].clone()),
            ("FOLDER", format!("{}/", self.source.key)),
            ("RECORDS", "records/".into()),
            ("REPLICATION_ROLE", "arn:aws:iam::000000000000:role/sealwax-replication".into()),
            ("LOST_AT", self.lost_at.clone()),
        ]
        .into()
    }

    fn happens(&mut self, what: &str) {
        let all = ["report.pdf", "hurried.pdf", "older.pdf"];
        match what {
            "an object of the East alone" => {
                let older = self.source.beside("older.pdf");
                let put = ["put", "-", &older.uri(), "--key", &self.east_keys[0]];
                Sealwax::new(put).input(b"older").run().exits(0);
            }
            "replicate" => {
                all.iter().for_each(|name| {
                    self.s3.copy(&self.source.beside(name), &self.replica.beside(name));
                });
            }
            "replicate the records" => {
                for prefix in ["records/", ".sealwax/keys/"] {
                    self.s3.copy_all(prefix, &self.source.bucket, &self.replica.bucket);
                }
            }
            "replicate back" => {
                let name = "meanwhile.pdf";
                self.s3.copy(&self.replica.beside(name), &self.source.beside(name));
            }
            "the East is lost" => {
                let seconds = || {
                    let now = SystemTime::now().duration_since(UNIX_EPOCH);
                    now.expect("after 1970").as_secs()
                };
                // Everything so far is of an earlier second.
                let last = seconds();
                wait_until("its second ends", || seconds() > last);
                let now = DateTime::from_secs(seconds().cast_signed());
                let now = now.fmt(DateTimeFormat::DateTime).expect("a time");
                self.lost_at = now;
                self.lost = Some(LostRegion::start(&endpoint(), "us-east-1"));
            }
            "the East is back" => self.lost = None,
            _ => panic!("nothing is known of {what:?}"),
        }
    }

    /// Runs commands of the document in this test's directory, with its variables.
    fn run(&self, commands: &str) -> Run {
        let directory = self.source.path("");
        let bin =
            Path::new(env!("CARGO_BIN_EXE_sealwax")).parent().expect("a directory").to_owned();
        let aws = server_env("SEALWAX_TEST_AWS_CLI");
        let aws = Path::new(&aws).parent().expect("a directory").to_owned();
        let path = env::join_paths(
            [bin, aws].into_iter().chain(env::split_paths(&env::var_os("PATH").expect("a path"))),
        );
        // The document's values are examples; use this test's.
        let commands: Vec<_> =
            commands.lines().filter(|line| !line.starts_with("export ")).collect();
        let line = format!("set -eu; cd '{}'\n{}", directory.display(), commands.join("\n"));
        let run = Sealwax::by_shell(&line)
            .env("PATH", path.expect("a path"))
            .env("XDG_STATE_HOME", directory);
        let run = match &self.lost {
            Some(lost) => run.env("AWS_ENDPOINT_URL", lost.url()),
            None => run,
        };
        self.names().iter().fold(run, |run, (name, value)| run.env(name, value)).run()
    }
}

#[test]
fn every_command_of_the_runbook_works() {
    let mut world = World::new();
    world.source.file("report.pdf", b"report");
    let mut commands = 0;
    for step in steps() {
        match step {
            Step::Happens(what) => world.happens(&what),
            Step::Run(text) => {
                let exported = text
                    .split_whitespace()
                    .filter_map(|word| word.split_once('='))
                    .map(|(name, _)| name);
                if text.starts_with("export ") {
                    let (names, mut known) = (exported.collect::<Vec<_>>(), world.names());
                    names.iter().for_each(|name| drop(known.remove(name).expect(name)));
                    assert!(known.is_empty(), "names that the document does not give: {known:?}");
                    continue;
                }
                commands += text.matches("sealwax ").count();
                let run = world.run(&text);
                assert_eq!(run.code, Some(0), "{text}\n{}", run.stderr);
                if text.contains("needs-the-east.json") {
                    assert!(
                        fs::read_to_string(world.source.path("needs-the-east.json"))
                            .expect("JSON")
                            .contains("summary")
                    );
                }
                if text.contains("sealwax compare") {
                    let manifest = fs::read_to_string(world.source.path("written-meanwhile.csv"));
                    let expected = format!("{},2026/meanwhile.pdf\n", world.replica.bucket);
                    assert_eq!(manifest.expect("a manifest"), expected);
                    assert!(
                        run.stderr.contains("1 written in the replica only, 0 conflicts"),
                        "{}",
                        run.stderr
                    );
                }
                if text.contains("--lacks") && text.contains("add-west") {
                    let listed = String::from_utf8_lossy(&run.stdout).into_owned();
                    assert!(
                        listed.contains("older.pdf") && !listed.contains("report.pdf:"),
                        "{listed}"
                    );
                }
            }
        }
    }
    assert!(commands >= 20, "{commands} commands");
    assert_eq!(fs::read(world.source.path("restored.pdf")).expect("restored"), b"report");
    let written = |extension: &str| {
        let files = fs::read_dir(world.source.path("drills")).expect("reports");
        files.filter_map(Result::ok).any(|file| {
            let name = file.file_name().to_string_lossy().into_owned();
            name.starts_with("sealwax-drill-") && name.ends_with(extension)
        })
    };
    assert!(written(".json") && written(".md") && written(".html"));
    world.source.beside("hurried.pdf").get(&[]).fails(4, ": it was shredded on 20");
}
