//! Downloads of many objects with one client.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use sealwax_files::{FileState, Folder, RelativePath};
use sealwax_s3::{
    ErrorKind, ListedObject, ObjectInfo, S3Uri, SealedClient,
    envelope::{EncryptionContext, geometry},
};
use tokio::{
    sync::{OnceCell, Semaphore},
    task::spawn_blocking,
};

use super::{check_absent, not_new, unwritten};
use crate::{
    bulk::{Outcome, Skip},
    comparison::{Comparison, having_content, stored_at},
    failure::{Exit, Failure},
    mtime,
};

/// Memory budget for parts of all objects, in bytes; the same as for uploads.
const BUDGET: usize = 128 << 20;
/// Maximum share of one object, in bytes; it limits the number of its parallel part requests.
const MAX_OF_ONE: u64 = 64 << 20;
/// Unit of the budget, in bytes.
const UNIT: u64 = 64 << 10;

/// Downloads objects into a folder with one client.
pub(in crate::command) struct Getter {
    pub(in crate::command) client: SealedClient,
    context: EncryptionContext,
    budget: Semaphore,
    root: PathBuf,
    /// Destination, once it is created.
    folder: OnceCell<Folder>,
    dry_run: bool,
}

/// State that the destination must have, so that it is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::command) enum ExpectedFile {
    Any,
    /// No file, as `--no-overwrite` demands it.
    NoFile,
    /// The file that a walk found, or none.
    Found(Option<FileState>),
}

/// Result of one download.
pub(in crate::command) enum GetDone {
    /// The file is what this download would write, by the comparison.
    Unchanged,
    /// The object has nothing to read.
    Skipped(Outcome),
    /// Length in bytes of what a dry run would write, if the listing tells it.
    Planned(Option<u64>),
    Opened(Box<ObjectInfo>),
}

impl Getter {
    pub(in crate::command) fn new(
        client: SealedClient,
        context: EncryptionContext,
        root: PathBuf,
        dry_run: bool,
    ) -> Self {
        let budget = Semaphore::new(BUDGET / UNIT as usize);
        Self { client, context, budget, root, folder: OnceCell::new(), dry_run }
    }

    /// Returns the path of the file for an object.
    ///
    /// # Errors
    /// No file in the folder can have this name.
    pub(in crate::command) fn path(
        &self,
        relative: &str,
    ) -> Result<(PathBuf, RelativePath), Failure> {
        let inside = RelativePath::parse(relative).map_err(Failure::other)?;
        Ok((self.root.join(inside.as_path()), inside))
    }

    /// Downloads an object, unless the comparison shows that this is not needed.
    pub(in crate::command) async fn get(
        &self,
        object: &ListedObject,
        relative: &str,
        comparison: Comparison,
        expected: ExpectedFile,
    ) -> Result<GetDone, Failure> {
        let uri: S3Uri = object.to_string().parse().map_err(Failure::usage)?;
        if let Some(skipped) = Skip::sealed_folder_marker(&self.client, object).await {
            return Ok(GetDone::Skipped(skipped));
        }
        let (path, inside) = self.path(relative)?;
        let len = object.size.and_then(geometry::plaintext_len);
        if comparison != Comparison::None
            && self.is_there(&uri, object, len, &inside, comparison).await?
        {
            return Ok(GetDone::Unchanged);
        }
        if expected == ExpectedFile::NoFile {
            check_absent(&path)?;
        }
        if self.dry_run {
            return Ok(GetDone::Planned(len));
        }
        let units = len.unwrap_or(MAX_OF_ONE).min(MAX_OF_ONE).div_ceil(UNIT).max(1);
        let _room = self.budget.acquire_many(units as u32).await.map_err(Failure::other)?;
        let get = self.client.get().uri(&uri).encryption_context(self.context.clone());
        let found = match get.send().await {
            Ok(found) => found,
            Err(error) => {
                let skipped = Skip::or_failed(&self.client, object, error).await?;
                return Ok(GetDone::Skipped(skipped));
            }
        };
        let modified = mtime::of(&found.info().metadata).or(stored_at(object));
        let folder = self.folder().await?.clone();
        let new = spawn_blocking(move || match expected {
            ExpectedFile::Any => folder.new_file(&inside).map(Some),
            ExpectedFile::NoFile => folder.create_new_file(&inside).map(Some),
            ExpectedFile::Found(expected) if folder.state(&inside)? != expected => Ok(None),
            ExpectedFile::Found(Some(_)) => folder.new_file(&inside).map(Some),
            ExpectedFile::Found(None) => match folder.create_new_file(&inside) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
                new => new.map(Some),
            },
        });
        let new = new.await.map_err(Failure::other)?.map_err(|error| unwritten(&path, error))?;
        let Some(new) = new else { return Err(changed_since_listed(&path)) };
        let written = found.to_new_file(new.modified(modified)).await;
        let info = written.map_err(|error| match (expected, error.kind()) {
            (ExpectedFile::NoFile, _) => not_new(&path, error),
            (ExpectedFile::Found(None), ErrorKind::Conflict) => changed_since_listed(&path),
            _ => error.into(),
        })?;
        Ok(GetDone::Opened(Box::new(info)))
    }

    /// Returns the number of incomplete files of killed processes that were removed.
    pub(in crate::command) fn leftovers_removed(&self) -> u64 {
        self.folder.get().map_or(0, Folder::leftovers_removed)
    }

    /// Returns the destination, and creates it on the first call.
    async fn folder(&self) -> Result<&Folder, Failure> {
        let create = || async {
            let path = self.root.clone();
            let created = spawn_blocking(move || Folder::create(path)).await;
            created.map_err(Failure::other)?.map_err(|error| unwritten(&self.root, error))
        };
        self.folder.get_or_try_init(create).await
    }

    /// `true` if the file is identical to the object's plaintext: by metadata, or by its content.
    async fn is_there(
        &self,
        uri: &S3Uri,
        object: &ListedObject,
        len: Option<u64>,
        inside: &RelativePath,
        comparison: Comparison,
    ) -> Result<bool, Failure> {
        let (folder, inside) = (self.root.clone(), inside.clone());
        let opened = spawn_blocking(move || {
            let file = Folder::open(folder)?.open_file(&inside)?;
            Ok::<_, io::Error>((file.metadata()?, file))
        });
        let Ok((metadata, file)) = opened.await.map_err(Failure::other)? else { return Ok(false) };
        if comparison == Comparison::Content {
            let get = self.client.get().uri(uri).encryption_context(self.context.clone());
            let state = FileState::from(&metadata);
            return Ok(having_content(get, Arc::new(file), state).await?.is_some());
        }
        let of_client = object.size.is_some_and(|stored| may_hold(stored, metadata.len()));
        if Some(metadata.len()) != len && !of_client {
            return Ok(false);
        }
        let info = self.client.head().uri(uri).send().await?;
        let modified = mtime::of(&info.metadata).or(stored_at(object));
        Ok(info.plaintext_lens().contains(&metadata.len())
            && modified.is_some()
            && modified == metadata.modified().ok())
    }
}

fn changed_since_listed(path: &Path) -> Failure {
    let error = format!("{} changed since it was listed", path.display());
    let advice = "another program wrote it: rerun the command to compare it again";
    Failure::new(Exit::Conflict, error, advice)
}

/// `true` if an object of the S3 Encryption Client with this stored length can hold a plaintext of
/// `len` bytes: its tag or its padding has at most 16 bytes.
fn may_hold(stored: u64, len: u64) -> bool {
    (stored.saturating_sub(16)..=stored).contains(&len)
}
