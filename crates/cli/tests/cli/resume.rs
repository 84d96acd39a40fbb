//! Uploads that are killed and resumed from their state files.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Child,
    thread,
    time::Duration,
};

use sealwax_s3::{
    KmsKeyring,
    envelope::{Keyring as _, ObjectHeader, Unwrap, metadata},
};
use serde_json::Value;

use crate::support::{
    PartsProxy, RawS3, Run, Scene, Sealwax, bytes, east_key, endpoint, second_s3, send, wait_until,
    west_key,
};

const MIB: usize = 1 << 20;
/// Eight parts.
const LEN: usize = 8 * 8 * MIB - 100;
const MARKER: &[u8] = b"a-marker-in-the-plaintext";

/// Resumable upload of a file to SeaweedFS, with a separate state directory.
///
/// Not to LocalStack: it writes an arriving part over the stored part of the same number. Data in
/// flight from a killed sender would damage the resumed upload there; S3 replaces whole parts.
struct Upload {
    scene: Scene,
    s3: RawS3,
    data: Vec<u8>,
    file: PathBuf,
    /// The way to the server of an upload that must not end.
    held: PartsProxy,
}

impl Upload {
    fn new(name: &str) -> Self {
        Self::of_len(name, LEN)
    }

    fn of_len(name: &str, len: usize) -> Self {
        let mut scene = Scene::new(name);
        scene.bucket = "sealwax-cli".into();
        let s3 = RawS3::at(&second_s3());
        s3.make_bucket(&scene.bucket);
        let mut data = bytes(len);
        for part in data.chunks_mut(MIB) {
            let len = MARKER.len().min(part.len());
            part[..len].copy_from_slice(&MARKER[..len]);
        }
        // A name that a shell would split.
        let file = scene.file("a file", &data);
        Self { scene, s3, data, file, held: PartsProxy::holding_after(&second_s3(), 1) }
    }

    fn command(&self) -> Sealwax {
        let (uri, key) = (self.scene.uri(), east_key());
        self.at_home(
            Sealwax::new(["put"]).args([&self.file]).args([&uri, "--key", &key, "--resume"]),
        )
    }

    /// Sets the S3 server and the state directory.
    fn at_home(&self, command: Sealwax) -> Sealwax {
        command.env("AWS_ENDPOINT_URL_S3", second_s3()).env("XDG_STATE_HOME", self.state_home())
    }

    /// Returns the stored object's plaintext.
    fn stored(&self) -> Vec<u8> {
        self.at_home(Sealwax::new(["get", &self.scene.uri(), "-"])).run().exits(0).stdout
    }

    /// The same command by way of the proxy, which holds some parts back.
    fn held_command(&self) -> Sealwax {
        self.command().env("AWS_ENDPOINT_URL_S3", self.held.url())
    }

    fn state_home(&self) -> PathBuf {
        self.scene.path("state")
    }

    /// Returns the only state file in the state directory.
    fn state_file(&self) -> Option<PathBuf> {
        let entries = fs::read_dir(self.state_home().join("sealwax")).ok()?;
        let paths = entries.map(|entry| entry.expect("an entry").path());
        paths.filter(|path| path.extension().is_some_and(|it| it == "upload")).max()
    }

    fn state(&self) -> State {
        State::read(&self.state_file().expect("a state file"))
    }

    /// Starts the upload, and returns when `parts` parts are stored. No other part arrives.
    fn begun(&self, parts: usize) -> Child {
        self.held.hold_after(parts);
        let child = self.held_command().spawn();
        wait_until("parts are stored", || {
            self.state_file().is_some_and(|path| {
                fs::metadata(&path).is_ok() && State::read(&path).stored.len() >= parts
            })
        });
        child
    }

    /// Kills the upload when `parts` parts are stored; returns its state file's content.
    fn killed(&self, parts: usize) -> State {
        kill(self.begun(parts));
        assert!(
            self.s3.head(&self.scene).is_none(),
            "the object appeared before all of it was stored"
        );
        let state = self.state();
        assert!(state.stored.len() < 8, "it was too fast to be killed");
        state
    }

    #[track_caller]
    fn assert_done(&self) {
        assert!(self.stored() == self.data, "other bytes were stored");
        assert_eq!(self.state_file(), None, "the state file was left behind");
        assert_eq!(self.s3.unfinished_uploads(&self.scene), 0, "an upload was left behind");
    }
}

/// Content of a state file.
#[derive(Debug, Clone, PartialEq)]
struct State {
    upload_id: String,
    metadata: BTreeMap<String, String>,
    /// Entity tags by part.
    stored: BTreeMap<i32, String>,
}

impl State {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).expect("text");
        // The last line may be incomplete.
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        let lines: Vec<Value> =
            whole.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let stored = lines.iter().filter_map(|line| line.get("stored")).map(|line| {
            let part =
                line["part"].as_i64().and_then(|part| part.try_into().ok()).expect("a number");
            (part, line["e_tag"].as_str().expect("an entity tag").to_owned())
        });
        Self {
            upload_id: lines[0]["upload_id"].as_str().expect("an id").to_owned(),
            metadata: serde_json::from_value(lines[0]["metadata"].clone()).expect("a map of text"),
            stored: stored.collect(),
        }
    }
}

fn kill(mut child: Child) {
    send("KILL", &child);
    child.wait().expect("it ends");
}

/// Returns the command that a message offers as this step.
#[track_caller]
fn offered(run: &Run, what: &str) -> String {
    let start = format!("  {what}: ");
    let line = run.stderr.lines().find_map(|line| line.strip_prefix(&start));
    line.unwrap_or_else(|| panic!("{what:?} is not offered: {}", run.stderr)).to_owned()
}

#[test]
fn a_killed_put_resumes_with_the_missing_parts() {
    let it = Upload::new("killed");
    let before = it.killed(2);
    let on_s3 = it.s3.parts(&it.scene, &before.upload_id).expect("the upload");
    for (part, e_tag) in &before.stored {
        assert_eq!(on_s3.get(part), Some(e_tag), "part {part} is not what the state file says");
    }

    let proxy = PartsProxy::start(&second_s3());
    let run = it.command().env("AWS_ENDPOINT_URL_S3", proxy.url()).run().exits(0);
    let going_on = format!(
        "resuming the upload to {}: {} of 8 parts stored",
        it.scene.uri(),
        before.stored.len()
    );
    assert!(run.stderr.starts_with(&going_on), "{}", run.stderr);
    let sent = proxy.parts();
    let missing = (1..=8).filter(|part| !before.stored.contains_key(part));
    assert!(sent.iter().copied().eq(missing), "stored before: {:?}, sent: {sent:?}", before.stored);
    it.assert_done();
}

#[test]
fn a_state_file_is_private_and_contains_no_secret() {
    let it = Upload::new("private");
    let state = it.killed(1);
    let path = it.state_file().expect("a state file");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().expect("a directory"))), (0o600, 0o700));

    let header = ObjectHeader::parse(metadata::pairs(&state.metadata));
    let header = header.expect("Sealwax's metadata");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let data_key = runtime.block_on(async {
        let loader = aws_config::defaults(aws_config::BehaviorVersion::v2026_01_12())
            .endpoint_url(endpoint());
        let config = loader.region("us-east-1").load().await;
        let keyring = KmsKeyring::builder(&config).key(east_key()).build().expect("an ARN");
        match keyring.unwrap(header.keys()).await {
            Unwrap::Unwrapped(data_key) => data_key,
            Unwrap::NotMine | Unwrap::Failed(_) => panic!("the data key cannot be unwrapped"),
        }
    });
    let text = fs::read(&path).expect("there");
    let holds = |needle: &[u8]| text.windows(needle.len()).any(|window| window == needle);
    let secret = data_key.expose_secret();
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(
        !holds(secret) && !holds(hex.as_bytes()) && !holds(hex.to_uppercase().as_bytes()),
        "the data key is in it"
    );
    // Base64 of the data key after any other bytes contains one of these.
    for base64 in base64_at_each_offset(secret) {
        assert!(!holds(base64.as_bytes()), "the data key is in it, in Base64");
    }
    assert!(!holds(MARKER), "plaintext is in it");
    for base64 in base64_at_each_offset(MARKER) {
        assert!(!holds(base64.as_bytes()), "plaintext is in it, in Base64");
    }
    assert!(holds(b"no plaintext key"), "it does not say so");
}

/// Returns the Base64 digits of `bytes` at each offset, without digits that adjacent bytes
/// influence.
fn base64_at_each_offset(bytes: &[u8]) -> Vec<String> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let whole_digits = |bytes: &[u8]| {
        let triples = bytes.chunks_exact(3).flat_map(|triple| {
            let [a, b, c] = [triple[0], triple[1], triple[2]];
            [a >> 2, (a & 3) << 4 | b >> 4, (b & 15) << 2 | c >> 6, c & 63]
        });
        triples.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
    };
    (0..3).map(|skipped| whole_digits(&bytes[skipped..])).collect()
}

#[test]
fn a_changed_file_is_refused_and_the_upload_kept() {
    let it = Upload::new("changed");
    let state = it.killed(2);
    let on_s3 = it.s3.parts(&it.scene, &state.upload_id).expect("the upload");
    let modified = fs::metadata(&it.file).expect("there").modified().expect("a time");
    let proxy = PartsProxy::start(&second_s3());
    let refused = |what: &str| {
        let sent = proxy.parts();
        let run = it.command().env("AWS_ENDPOINT_URL_S3", proxy.url()).run().exits(6);
        assert!(run.stderr.contains(what), "{}", run.stderr);
        assert_eq!(run.stderr.matches("  hint: ").count(), 1, "{}", run.stderr);
        let now = it.s3.parts(&it.scene, &state.upload_id).expect("the upload");
        assert!(
            on_s3.iter().all(|(part, tag)| now.get(part) == Some(tag)),
            "{on_s3:?}, then {now:?}"
        );
        (run, proxy.parts().difference(&sent).copied().collect::<Vec<_>>())
    };
    let touch = |time| {
        File::options().write(true).open(&it.file).expect("there").set_modified(time).expect("set");
    };

    touch(modified + Duration::from_secs(1));
    let (_, sent) = refused("length or modification time changed");
    assert_eq!((sent, it.state()), (vec![], state.clone()), "the upload was not left alone");
    // The same modification time, but other bytes.
    let mut other = it.data.clone();
    let stored = *state.stored.keys().next().expect("a part") as usize;
    other[(stored - 1) * 8 * MIB] ^= 1;
    fs::write(&it.file, &other).expect("written");
    touch(modified);
    let (_, sent) = refused(&format!("part {stored} of the file changed"));
    assert!(
        !sent.iter().any(|part| state.stored.contains_key(part)),
        "{sent:?} were sent, but {state:?}"
    );
    other.push(0);
    fs::write(&it.file, &other).expect("written");
    touch(modified);
    let (run, _) = refused("length or modification time changed");

    // The offered commands work.
    let restarted = it.at_home(Sealwax::by_shell(&offered(&run, "to start again")));
    let restarted = restarted.run().exits(0);
    assert!(restarted.stderr.contains("aborted upload"), "{}", restarted.stderr);
    assert!(it.stored() == other, "other bytes were stored");
    assert_eq!((it.state_file(), it.s3.unfinished_uploads(&it.scene)), (None, 0));
}

#[test]
fn a_put_killed_before_its_first_part_resumes() {
    let it = Upload::new("first");
    kill(it.begun(0));
    let run = it.command().run().exits(0);
    assert!(run.stderr.starts_with("resuming the upload"), "{}", run.stderr);
    it.assert_done();
}

#[test]
fn a_repeatedly_killed_put_completes() {
    let it = Upload::of_len("often", 12 * 8 * MIB + 1);
    let mut random = u64::from(std::process::id());
    let mut stored = BTreeMap::new();
    let mut on_s3 = BTreeMap::new();
    let (mut kills, mut last) = (0, 0);
    let run = loop {
        if kills == 10 {
            break it.command().run();
        }
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let word = usize::try_from(random >> 33).expect("31 bits");
        // At most three parts more arrive this time, so it is killed at least four times.
        last += 1 + word % 3;
        it.held.hold_after(last);
        let child = it.held_command().spawn();
        let noted = || it.state_file().map_or(0, |path| State::read(&path).stored.len());
        wait_until("a part more is stored", || {
            noted() > stored.len() || it.s3.head(&it.scene).is_some()
        });
        thread::sleep(Duration::from_millis((word % 150) as u64));
        kill(child);
        kills += 1;
        let Some(path) = it.state_file() else {
            if it.s3.head(&it.scene).is_some() {
                break it.command().run();
            }
            // It was killed before it had a state file, so an upload without one may remain.
            continue;
        };
        let state = State::read(&path);
        assert!(
            stored.iter().all(|(part, tag)| state.stored.get(part) == Some(tag)),
            "{stored:?}, then {state:?}"
        );
        stored = state.stored;
        // Stored parts that the state file lacks are sent again, with the same bytes.
        let Some(now) = it.s3.parts(&it.scene, &state.upload_id) else {
            // It was killed after the upload and before its state file was deleted.
            wait_until("the object appears", || it.s3.head(&it.scene).is_some());
            break it.command().run();
        };
        assert!(
            on_s3.iter().all(|(part, tag)| now.get(part) == Some(tag)),
            "{on_s3:?}, then {now:?}"
        );
        on_s3 = now;
    };
    run.exits(0);
    assert!(kills >= 3, "it was too fast to be killed often: {kills}");
    assert!(it.stored() == it.data, "other bytes were stored");
    assert_eq!(it.state_file(), None, "the state file was left behind");
}

#[test]
fn an_interrupted_put_offers_to_resume_and_to_abort() {
    for (signal, code, what) in [("INT", 130, "to resume"), ("TERM", 143, "to abort")] {
        let it = Upload::new(signal);
        let child = it.begun(1);
        send(signal, &child);
        let run = Run::new(child.wait_with_output().expect("it ends")).exits(code);
        assert!(run.stderr.contains("can be resumed: "), "{}", run.stderr);
        let state = it.state();
        assert!(
            it.s3.parts(&it.scene, &state.upload_id).is_some_and(|parts| !parts.is_empty()),
            "nothing was kept"
        );
        let command = it.at_home(Sealwax::by_shell(&offered(&run, what)));
        let run = command.run().exits(0);
        if what == "to resume" {
            assert!(run.stderr.starts_with("resuming"), "{}", run.stderr);
            it.assert_done();
        } else {
            assert!(it.s3.head(&it.scene).is_none());
            assert_eq!((it.state_file(), it.s3.unfinished_uploads(&it.scene)), (None, 0));
        }
    }
}

#[test]
fn an_aborted_upload_is_not_resumed() {
    let it = Upload::new("gone");
    it.s3.abort(&it.scene, &it.killed(1).upload_id);
    let run = it.command().run().exits(6);
    assert!(run.stderr.contains("found no such upload"), "{}", run.stderr);
    assert!(it.state_file().is_some(), "the state file was deleted unasked");
    let command = offered(&run, "to start again");
    it.at_home(Sealwax::by_shell(&command)).run().exits(0);
    it.assert_done();
}

#[test]
fn a_state_file_belongs_to_one_upload() {
    let it = Upload::new("alone");
    let path = it.scene.path("state-file");
    let put = |uri: &str, key: &str| {
        let put = Sealwax::new(["put"]).args([&it.file]).args([
            uri,
            "--key",
            key,
            "--resume",
            "--state-file",
        ]);
        it.at_home(put.args([&path]))
    };
    let (uri, key) = (it.scene.uri(), east_key());
    let child = put(&uri, &key).env("AWS_ENDPOINT_URL_S3", it.held.url()).spawn();
    wait_until("parts are stored", || path.exists() && !State::read(&path).stored.is_empty());
    put(&uri, &key).run().fails(1, "another process is using this state file");
    kill(child);

    let state = State::read(&path);
    put(&format!("{uri}-too"), &key).run().fails(2, &format!("goes to {uri}"));
    put(&uri, &key).args(["-c", "a=b"]).run().fails(2, "has the encryption context {}");
    put(&uri, &key).args(["--no-place-binding"]).run().fails(2, "bound to");
    put(&uri, &west_key()).run().fails(2, &format!("is sealed under {key}"));
    let run = put(&uri, &key)
        .args(["--key", &west_key()])
        .run()
        .fails(2, &format!("is sealed under {key}"));
    assert_eq!(State::read(&path), state, "another state");
    it.at_home(Sealwax::by_shell(&offered(&run, "to abort"))).run().exits(0);
    assert!(!path.exists(), "the state file was left behind");
    assert_eq!(it.s3.unfinished_uploads(&it.scene), 0, "an upload was left behind");
    put(&uri, &key).run().exits(0);
    assert!(!path.exists(), "the state file was left behind");
    assert!(it.stored() == it.data, "other bytes were stored");
}

#[test]
fn concurrent_puts_do_not_share_an_upload() {
    let it = Upload::new("two");
    let children = [it.command().spawn(), it.command().spawn()];
    let runs = children.map(|child| Run::new(child.wait_with_output().expect("it ends")));
    let [done, refused] = {
        let [a, b] = runs;
        if a.code == Some(0) { [a, b] } else { [b, a] }
    };
    done.exits(0);
    let refused = refused.fails(1, "another process is using this state file");
    assert!(
        !refused.stderr.contains("to abort"),
        "the other's upload is offered to be aborted: {}",
        refused.stderr
    );
    it.assert_done();
}

#[test]
fn complete_puts_leave_no_state_file() {
    let it = Upload::of_len("small", 100);
    it.command().run().exits(0);
    it.assert_done();
    let input = Sealwax::new(["put", "-", &it.scene.uri(), "--key", &east_key(), "--resume"]);
    input.run().fails(2, "cannot resume an upload of standard input");
    let pipe =
        Sealwax::new(["put", "/dev/stdin", &it.scene.uri(), "--key", &east_key(), "--resume"]);
    let pipe = pipe.env("XDG_STATE_HOME", it.state_home());
    pipe.run().fails(2, "only the upload of a file can have a state file");
    let homeless = Sealwax::new(["put"]).args([&it.file]).args([
        &it.scene.uri(),
        "--key",
        &east_key(),
        "--resume",
    ]);
    homeless
        .env("XDG_STATE_HOME", "relative")
        .env("HOME", "relative")
        .run()
        .fails(2, "no state directory for the state of the upload");
}
