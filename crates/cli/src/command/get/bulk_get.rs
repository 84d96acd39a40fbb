//! `sealwax get` of folders.

use std::{sync::Arc, time::SystemTime};

use sealwax_files::{Folder, RelativePath};
use sealwax_s3::{
    ListedObject, S3Uri, SealedClient, UnencryptedObjects,
    envelope::{EncryptionContext, geometry},
};
use tokio::{
    sync::{OnceCell, Semaphore},
    task::spawn_blocking,
};

use super::{Opened, args::GetArgs, check_absent, unwritten};
use crate::{
    args::{Prefix, encryption_context},
    bulk::{Outcome, Skip, Summary, engine},
    console::{is_standard_stream, print_json},
    failure::{Failure, Unfinished},
    folder_listing::{self, Listed},
    interrupt::unless_stopped,
    mtime,
    session::Session,
    terminal_text::{Counted, this_command_line_with},
};

/// Memory budget for parts of all objects, in bytes; the same as for uploads.
const BUDGET: usize = 128 << 20;
/// Maximum share of one object, in bytes; it limits the number of its parallel part requests.
const MAX_OF_ONE: u64 = 64 << 20;
/// Unit of the budget, in bytes.
const UNIT: u64 = 64 << 10;

/// Downloads and decrypts the objects of a folder.
pub(super) async fn run(session: &Session, args: GetArgs) -> Result<(), Failure> {
    if is_standard_stream(&args.file) {
        return Err(Failure::usage(
            "cannot write a folder to standard output: use `sealwax cat` for several objects",
        ));
    }
    if args.version_id.is_some() {
        return Err(Failure::usage("--version-id requires a single object"));
    }
    let from = args.from.clone().into_folder();
    let keyring = session.keyrings().reading(args.reader.clone()).await?;
    let mut client = session.client_builder_of(&from.bucket, keyring).s3ec(args.s3ec.settings()?);
    if args.pass_unencrypted {
        client = client.unencrypted(UnencryptedObjects::PassThrough);
    }
    let client = client.build();
    let objects = folder_listing::objects(client.s3(), &from, args.folders.filter.clone());
    let getter = &Getter {
        client,
        context: encryption_context(args.context.clone())?,
        budget: Arc::new(Semaphore::new(BUDGET / UNIT as usize)),
        folder: OnceCell::new(),
        args,
    };
    let get = |Listed { object, relative }| async move {
        let got = getter.get(&object, &relative).await;
        got.unwrap_or_else(|failure| Outcome::Failed(object.to_string(), failure))
    };
    let mut summary = Summary::default();
    let concurrency = getter.args.folders.concurrency;
    let done = unless_stopped(summary.run(session, objects, &engine(concurrency), get)).await;
    if let Some(folder) = getter.folder.get() {
        session.report_leftovers(folder.leftovers_removed());
    }
    if summary.all() > 0 {
        session.say(text_of(&from, &getter.args, &summary));
    }
    let unfinished = Unfinished::new(
        "the remaining files were not written; rerun with --skip-unchanged to continue",
        "to continue",
        this_command_line_with("--skip-unchanged"),
    );
    unfinished.check(done)?;
    summary.some("object", &from)?;
    summary.result("object")
}

fn text_of(from: &Prefix, args: &GetArgs, summary: &Summary) -> String {
    let verb = if args.folders.dry_run { "would open" } else { "opened" };
    let (objects, bytes) = (Counted(summary.done, "object"), Counted(summary.bytes, "byte"));
    format!("{verb} {objects} of {from} in {} ({bytes}){summary}", args.file.display())
}

/// Downloads objects with one client.
struct Getter {
    client: SealedClient,
    context: EncryptionContext,
    budget: Arc<Semaphore>,
    /// Destination, once it is created.
    folder: OnceCell<Folder>,
    args: GetArgs,
}

impl Getter {
    async fn get(&self, object: &ListedObject, relative: &str) -> Result<Outcome, Failure> {
        let uri: S3Uri = object.to_string().parse().map_err(Failure::usage)?;
        if let Some(skipped) = Skip::folder_marker(object) {
            return Ok(skipped);
        }
        let inside = RelativePath::parse(relative).map_err(Failure::other)?;
        let path = self.args.file.join(inside.as_path());
        let len = object.size.and_then(geometry::plaintext_len);
        if self.args.folders.skip_unchanged && self.is_there(&uri, object, len, &inside).await? {
            return Ok(Outcome::Unchanged(format!("skipped {}: unchanged", path.display())));
        }
        if self.args.no_overwrite {
            check_absent(&path)?;
        }
        if self.args.folders.dry_run {
            return Ok(Outcome::Done(
                format!("would open {uri} as {}", path.display()),
                len.unwrap_or_default(),
            ));
        }
        let units = len.unwrap_or(MAX_OF_ONE).min(MAX_OF_ONE).div_ceil(UNIT).max(1);
        let _room = self.budget.acquire_many(units as u32).await.map_err(Failure::other)?;
        let get = self.client.get().uri(&uri).encryption_context(self.context.clone());
        let found = match get.send().await {
            Ok(found) => found,
            Err(error) => return Skip::or_failed(&self.client, object, error).await,
        };
        let modified = mtime::of(&found.info().metadata).or(time(object));
        let folder = self.folder().await?;
        let no_overwrite = self.args.no_overwrite;
        let new = spawn_blocking(move || match no_overwrite {
            true => folder.create_new_file(&inside),
            false => folder.new_file(&inside),
        });
        let new = new.await.map_err(Failure::other)?;
        let new = new.map_err(|error| unwritten(&path, error))?;
        let info = found.to_new_file(new.modified(modified)).await?;
        if self.args.json {
            print_json(&Opened::new(&uri, &path, &info));
        }
        let text = format!(
            "opened {uri} as {} ({})",
            path.display(),
            Counted(info.plaintext_len(), "byte")
        );
        Ok(Outcome::Done(text, info.plaintext_len()))
    }

    /// Returns the destination, and creates it on the first call.
    async fn folder(&self) -> Result<Folder, Failure> {
        let create = || async {
            let path = self.args.file.clone();
            let created = spawn_blocking(move || Folder::create(path)).await;
            created.map_err(Failure::other)?.map_err(|error| unwritten(&self.args.file, error))
        };
        self.folder.get_or_try_init(create).await.cloned()
    }

    /// `true` if metadata says that the file is identical to the object's plaintext.
    async fn is_there(
        &self,
        uri: &S3Uri,
        object: &ListedObject,
        len: Option<u64>,
        inside: &RelativePath,
    ) -> Result<bool, Failure> {
        let (folder, inside) = (self.args.file.clone(), inside.clone());
        let metadata = spawn_blocking(move || Folder::open(folder)?.open_file(&inside)?.metadata())
            .await
            .map_err(Failure::other)?;
        let Ok(metadata) = metadata else { return Ok(false) };
        if Some(metadata.len()) != len {
            return Ok(false);
        }
        let info = self.client.head().uri(uri).send().await?;
        let modified = mtime::of(&info.metadata).or(time(object));
        Ok(info.plaintext_len() == metadata.len()
            && modified.is_some()
            && modified == metadata.modified().ok())
    }
}

/// Returns the object's `Last-Modified` time, for objects without `mtime`.
fn time(object: &ListedObject) -> Option<SystemTime> {
    object.last_modified.and_then(|time| time.try_into().ok())
}
