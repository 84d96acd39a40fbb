//! `sealwax keys shred`.

use std::time::SystemTime;

use aws_sdk_s3::{primitives::DateTime, types::ObjectLockLegalHoldStatus};
use futures_util::TryStreamExt as _;
use sealwax_s3::{ErrorKind, ListPages, ListedObject, StoredKey};
use serde::Serialize;

use super::{Binding, Store, args::KeysShredArgs, name_of};
use crate::{
    command::rm::confirm,
    console::Lines,
    failure::{Exit, Failure},
    interrupt::unless_stopped,
    session::Session,
    terminal_text::{Counted, Printable},
};

/// Places that were not looked at, and stay.
const UNSEEN: &str = "not seen, and not deleted: replicas of the bucket, copies of key objects, \
                      backups, and keys that running programs have cached";

/// An intermediate key that is to be shredded. Field names are stable JSON output.
#[derive(Debug, Serialize)]
struct Doomed {
    key: String,
    id: String,
    /// Claims of its key objects: more than one if some are not genuine.
    bindings: Vec<Binding>,
    key_objects: u64,
    versions: u64,
    /// Versions that Object Lock protects.
    locked: u64,
    /// Number of deleted versions.
    deleted: u64,
    #[serde(skip)]
    stored: StoredKey,
}

/// Settings of the bucket about deletions, as far as the caller may ask.
struct Bucket {
    is_versioned: Option<bool>,
    is_replicated: Option<bool>,
    has_object_lock: bool,
}

/// Deletes all key objects of intermediate keys.
pub(super) async fn run(session: &Session, args: KeysShredArgs) -> Result<(), Failure> {
    const UNCHANGED: &str = "nothing was deleted";
    let store = Store::open(session, &args.bucket, session.keyrings().empty())?;
    let surveyed = unless_stopped(survey(&store, &args)).await;
    let (bucket, mut doomed) = surveyed.map_err(|signal| Failure::stopped(signal, UNCHANGED))??;
    let mut lines = Lines::new();
    if !args.json {
        for key in &doomed {
            lines.line(key.text())?;
        }
    } else if args.dry_run {
        print_json(&mut lines, &doomed)?;
    }
    lines.finish()?;
    check(&doomed, args.attached)?;
    let versions = doomed.iter().map(|key| key.versions).sum::<u64>();
    let what = format!(
        "{} of {} for ever",
        Counted(versions, "version"),
        Counted(doomed.len() as u64, "intermediate key")
    );
    session.say(format!("{}; {UNSEEN}", bucket.text()));
    session.say(format!("their objects: {}", list_objects(&store, &doomed)));
    if args.dry_run {
        session.say(format!("would delete {what}; {UNCHANGED}"));
        return Ok(());
    }
    if !args.yes {
        confirm(what).await?;
    }
    let work = async {
        for key in &mut doomed {
            key.deleted = store.keys.shred(&key.stored).await?;
        }
        // What another program stored meanwhile is there.
        for key in &doomed {
            if store.keys.list_below(&key.stored.folder()).next_key().await?.is_some() {
                let error = format!("there are new key objects of {}", key.key);
                let advice = "stop what stores them, and rerun the command";
                return Err(Failure::new(Exit::Conflict, error, advice));
            }
        }
        Ok::<_, Failure>(())
    };
    let done = unless_stopped(work).await;
    if args.json {
        print_json(&mut lines, &doomed)?;
        lines.finish()?;
    }
    let deleted = doomed.iter().map(|key| key.deleted).sum::<u64>();
    let stopped = |signal| {
        Failure::stopped(signal, "some key objects may be left; rerun the command to complete it")
    };
    done.map_err(stopped)??;
    session.say(format!(
        "deleted {} of {}",
        Counted(deleted, "version"),
        Counted(doomed.len() as u64, "intermediate key")
    ));
    Ok(())
}

/// Returns the command that lists the objects under the keys.
fn list_objects(store: &Store, doomed: &[Doomed]) -> String {
    let mut command = format!("sealwax audit s3://{} --versions", store.keys.bucket());
    for key in doomed {
        command.push_str(&format!(" --intermediate-key={}", key.id));
    }
    command
}

fn print_json(lines: &mut Lines, doomed: &[Doomed]) -> Result<(), Failure> {
    for key in doomed {
        lines.json(key)?;
    }
    let sum = |count: fn(&Doomed) -> u64| doomed.iter().map(count).sum::<u64>();
    let summary = serde_json::json!({
        "keys": doomed.len(),
        "versions": sum(|key| key.versions),
        "locked": sum(|key| key.locked),
        "deleted": sum(|key| key.deleted),
    });
    lines.json(&serde_json::json!({ "summary": summary }))
}

/// Refuses what would shred nothing, and what can't be completed.
fn check(doomed: &[Doomed], attached: bool) -> Result<(), Failure> {
    if let Some(key) = doomed.iter().find(|key| key.locked > 0) {
        let error = format!(
            "Object Lock protects {} of {}: nothing was deleted",
            Counted(key.locked, "version"),
            key.key
        );
        let advice = "wait until the retention ends, or remove it; to shred under a lock, delete the \
                      wrapping keys themselves";
        return Err(Failure::new(Exit::Failed, error, advice));
    }
    if let Some(key) = doomed.iter().find(|key| !key.is_detached()).filter(|_| !attached) {
        let error = format!(
            "{} is not detached: its objects carry wrapped keys of their own, and deleting the key \
             objects shreds nothing",
            key.key
        );
        let advice = "shred the objects with `sealwax shred`; pass --attached to delete the key objects \
                      anyway";
        return Err(Failure::usage(error).advise(advice));
    }
    Ok(())
}

async fn survey(store: &Store, args: &KeysShredArgs) -> Result<(Bucket, Vec<Doomed>), Failure> {
    let found = store.find(&args.ids).await?;
    let bucket = Bucket::ask(store).await;
    let mut doomed = Vec::new();
    for stored in found {
        let forms = store.keys.inspect(&stored).await?;
        let versions = versions(store, &stored).await?;
        let mut locked = 0;
        if bucket.has_object_lock {
            for version in &versions {
                locked += u64::from(is_locked(store, version).await?);
            }
        }
        doomed.push(Doomed {
            key: name_of(&stored),
            id: stored.id().to_string(),
            bindings: Binding::all(&forms),
            key_objects: stored.key_objects(),
            versions: versions.len() as u64,
            locked,
            deleted: 0,
            stored,
        });
    }
    Ok((bucket, doomed))
}

async fn versions(store: &Store, key: &StoredKey) -> Result<Vec<ListedObject>, Failure> {
    let folder = format!("{}{}", store.keys.prefix(), key.folder());
    let versions = ListPages::versions(store.client.s3(), store.keys.bucket(), folder);
    Ok(versions.into_stream().try_collect().await?)
}

/// `true` if Object Lock protects the version now.
async fn is_locked(store: &Store, version: &ListedObject) -> Result<bool, Failure> {
    let head = store.client.s3().head_object().bucket(&version.bucket).key(&version.key);
    let head = match head.set_version_id(version.version_id.clone()).send().await {
        Ok(head) => head,
        Err(error) => {
            let uri = sealwax_s3::S3Uri::new(&version.bucket, &version.key);
            let uri = uri.map_err(Failure::usage)?;
            let error = store.client.head_error("shred keys", &uri, &error).await;
            return match error.kind() {
                ErrorKind::NotFound => Ok(false),
                _ => Err(error.into()),
            };
        }
    };
    let now = DateTime::from(SystemTime::now());
    let is_held = head.object_lock_legal_hold_status() == Some(&ObjectLockLegalHoldStatus::On);
    Ok(is_held || head.object_lock_retain_until_date().is_some_and(|until| *until > now))
}

impl Bucket {
    async fn ask(store: &Store) -> Self {
        let (s3, name) = (store.client.s3(), store.keys.bucket());
        let versioning = s3.get_bucket_versioning().bucket(name).send().await.ok();
        let is_versioned = versioning.map(|it| it.status.is_some());
        let replication = s3.get_bucket_replication().bucket(name).send().await;
        let is_replicated = match replication {
            Ok(_) => Some(true),
            Err(error) if error.raw_response().is_some_and(|it| it.status().as_u16() == 404) => {
                Some(false)
            }
            Err(_) => None,
        };
        let lock = s3.get_object_lock_configuration().bucket(name).send().await;
        // Whoever may not ask looks at each version.
        let has_object_lock = match lock {
            Ok(lock) => lock.object_lock_configuration.is_some(),
            Err(error) => error.raw_response().is_none_or(|it| it.status().as_u16() != 404),
        };
        Self { is_versioned, is_replicated, has_object_lock }
    }

    fn text(&self) -> String {
        let versions = match self.is_versioned {
            Some(true) => "the bucket is versioned: all versions are deleted",
            Some(false) => "the bucket is not versioned",
            None => "the bucket does not say whether it is versioned",
        };
        let replicas = match self.is_replicated {
            Some(true) => {
                "; it is replicated, and deletions of versions are not: shred in each replica too"
            }
            Some(false) => "",
            None => "; it does not say whether it is replicated",
        };
        format!("{versions}{replicas}")
    }
}

impl Doomed {
    /// `true` if every valid key object says so, and there is one.
    fn is_detached(&self) -> bool {
        !self.bindings.is_empty() && self.bindings.iter().all(|binding| binding.detached)
    }

    fn text(&self) -> String {
        let mut text = format!(
            "{}: {}, {}",
            self.key,
            Counted(self.key_objects, "key object"),
            Counted(self.versions, "version")
        );
        if self.locked > 0 {
            text.push_str(&format!(", {} locked", self.locked));
        }
        for binding in &self.bindings {
            text.push_str(&format!("; {}", Printable(&binding.text())));
        }
        if self.bindings.is_empty() {
            text.push_str("; none of them is valid");
        }
        text
    }
}
