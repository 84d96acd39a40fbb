//! `sealwax get`.

mod args;
mod bulk_get;
mod getter;

use std::{io, os::unix::ffi::OsStrExt as _, path::Path};

use futures_util::TryStreamExt as _;
use sealwax_files::{NewFile, RelativePath};
use sealwax_s3::{Error, ErrorKind, Get, ObjectInfo, S3Uri, UnencryptedObjects};
use serde::Serialize;
use tokio::{
    io::{AsyncWriteExt as _, BufWriter},
    task::spawn_blocking,
};

pub(crate) use self::args::GetArgs;
pub(super) use self::getter::{ExpectedFile, GetDone, Getter};
use crate::{
    args::{encryption_context, is_in_s3, name_of},
    console::{is_standard_stream, print_json},
    failure::{Exit, Failure, of_one},
    interrupt::unless_stopped,
    leftovers::remove_leftovers,
    local_files::create_parent,
    object_report::PlaintextLen,
    progress::Progress,
    session::Session,
    terminal_text::Counted,
};

/// Buffer size of standard output, in bytes.
const OUTPUT_BUFFER_LEN: usize = 256 * 1024;

/// Downloads and decrypts an object, or a folder of objects.
pub(super) async fn run(session: &Session, args: GetArgs) -> Result<(), Failure> {
    if is_in_s3(&args.file) {
        let error = format!("{} is in S3, and get writes local files", args.file.display());
        return Err(Failure::usage(error).advise("copy inside S3 with `sealwax cp`"));
    }
    if args.folders.recursive {
        return bulk_get::run(session, args).await;
    }
    if args.folders.skip_unchanged {
        return Err(Failure::usage("--skip-unchanged requires --recursive"));
    }
    if is_standard_stream(&args.file) && (args.json || args.no_overwrite) {
        return Err(Failure::usage("--json and --no-overwrite require a file, not `-`"));
    }
    let GetArgs {
        from,
        mut file,
        context,
        version_id,
        pass_unencrypted,
        reader,
        release_unverified,
        s3ec,
        no_overwrite,
        json,
        folders,
    } = args;
    if from.is_folder() {
        let failure = Failure::usage(format!("{from} is a folder: --recursive is required"));
        return Err(failure.advise("pass --recursive to download its objects, or name one object"));
    }
    let uri: S3Uri = from.to_string().parse().map_err(Failure::usage)?;
    if file.is_dir() || file.as_os_str().as_bytes().ends_with(b"/") {
        let name = RelativePath::parse(name_of(uri.key())).map_err(Failure::usage)?;
        file.push(name.as_path());
    }
    if !is_standard_stream(&file)
        && let Err(error) = NewFile::check(&file)
    {
        let failure = Failure::usage(format!("cannot write {}: {error}", file.display()));
        return Err(failure.advise("pass a file, or `-` for standard output"));
    }
    if no_overwrite {
        check_absent(&file)?;
    }
    let context = encryption_context(context)?;
    let mut client = session
        .client_builder(&uri, session.keyrings().reading(reader).await?)
        .s3ec(s3ec.settings()?);
    if pass_unencrypted {
        client = client.unencrypted(UnencryptedObjects::PassThrough);
    }
    let client = client.build();
    if folders.dry_run {
        let mut head = client.head().uri(&uri);
        if let Some(version_id) = &version_id {
            head = head.version_id(version_id);
        }
        let info = head.send().await.map_err(|error| of_one(error, &uri))?;
        let bytes = PlaintextLen::of(&info).text().unwrap_or_default();
        session.say(format!("would open {uri} as {} ({bytes})", file.display()));
        return Ok(());
    }
    let progress = session.progress(None);
    let mut get =
        client.get().uri(&uri).encryption_context(context).on_progress(progress.counter());
    if let Some(version_id) = version_id {
        get = get.version_id(version_id);
    }
    if is_standard_stream(&file) {
        let done = unless_stopped(to_stdout(get, &progress, release_unverified, |error| {
            of_one(error, &uri)
        }))
        .await;
        return done.map_err(|signal| {
            Failure::stopped(signal, format!("the output of {uri} is incomplete"))
        })?;
    }
    let done =
        unless_stopped(to_file(session, get, progress, &uri, (&file, no_overwrite, json))).await;
    done.map_err(|signal| Failure::stopped(signal, format!("{} was not written", file.display())))?
}

/// A written file. Field names are stable JSON output.
#[derive(Debug, Serialize)]
struct Opened {
    object: String,
    file: String,
    version_id: Option<String>,
    e_tag: Option<String>,
    bytes: u64,
}

impl Opened {
    fn new(uri: &S3Uri, file: &Path, info: &ObjectInfo) -> Self {
        Self {
            object: uri.to_string(),
            file: file.to_string_lossy().into_owned(),
            version_id: info.version_id.clone(),
            e_tag: info.e_tag.clone(),
            bytes: info.plaintext_len(),
        }
    }
}

/// Fails if the file exists, before anything is downloaded.
fn check_absent(file: &Path) -> Result<(), Failure> {
    match file.symlink_metadata() {
        Ok(_) => Err(unwritten(file, io::ErrorKind::AlreadyExists.into())),
        Err(_) => Ok(()),
    }
}

/// Returns the failure of a file that cannot be written, or that must not be replaced.
fn unwritten(path: &Path, error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::AlreadyExists => {
            let advice = "omit --no-overwrite to replace it, or choose another file";
            Failure::new(Exit::Conflict, format!("{} already exists", path.display()), advice)
        }
        _ => Failure::io(&format!("cannot write {}", path.display()), error),
    }
}

/// Returns the failure of a new file that cannot be completed. One that exists meanwhile is told as
/// one that existed before.
fn not_new(path: &Path, error: Error) -> Failure {
    match error.kind() {
        ErrorKind::Conflict => unwritten(path, io::ErrorKind::AlreadyExists.into()),
        _ => error.into(),
    }
}

async fn to_file(
    session: &Session,
    get: Get,
    progress: Progress,
    uri: &S3Uri,
    (file, no_overwrite, json): (&Path, bool, bool),
) -> Result<(), Failure> {
    let object = get.send().await.map_err(|error| of_one(error, uri))?;
    progress.expect(object.info().plaintext_len());
    create_parent(file).await?;
    let beside = file.to_owned();
    let removed = spawn_blocking(move || remove_leftovers(&beside)).await;
    session.report_leftovers(removed.unwrap_or_default());
    let info = match no_overwrite {
        true => {
            let path = file.to_owned();
            let new = spawn_blocking(move || NewFile::create_new(path)).await;
            let new = new.map_err(Failure::other)?.map_err(|error| unwritten(file, error))?;
            object.to_new_file(new).await.map_err(|error| not_new(file, error))?
        }
        false => object.to_file(file).await?,
    };
    drop(progress);
    if json {
        print_json(&Opened::new(uri, file, &info));
    }
    session.say(format!(
        "opened {uri} as {} ({})",
        file.display(),
        Counted(info.plaintext_len(), "byte")
    ));
    Ok(())
}

/// Writes plaintext to standard output as it arrives; verified, unless `release_unverified`.
///
/// A closed pipe ends the output without an error. `failed` converts an error of the request.
pub(super) async fn to_stdout(
    get: Get,
    progress: &Progress,
    release_unverified: bool,
    failed: impl FnOnce(Error) -> Failure,
) -> Result<(), Failure> {
    let object = get.send().await.map_err(failed)?;
    progress.expect(object.info().plaintext_len());
    let mut plaintext =
        if release_unverified { object.release_unverified() } else { object.into_stream() };
    let mut output = BufWriter::with_capacity(OUTPUT_BUFFER_LEN, tokio::io::stdout());
    while let Some(piece) = plaintext.try_next().await? {
        if let Err(error) = output.write_all(&piece).await {
            return unless_broken_pipe(error);
        }
    }
    output.flush().await.or_else(unless_broken_pipe)
}

fn unless_broken_pipe(error: io::Error) -> Result<(), Failure> {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(Failure::io("cannot write to standard output", error)),
    }
}
