//! `sealwax put` of folders and of several files.

use std::{collections::HashSet, sync::Arc};

use futures_util::TryStreamExt as _;

use super::{
    args::PutArgs,
    format::Format,
    put_request::{destination, is_a_folder},
    putter::{Expected, PutDone, PutSettings, Putter},
};
use crate::{
    args::{FormatArg, encryption_context},
    bulk::{Outcome, Summary, engine},
    comparison::Comparison,
    console::is_standard_stream,
    failure::{Failure, Unfinished},
    interrupt::unless_stopped,
    local_files::{self, Found, LocalFile, Unfit},
    session::Session,
    terminal_text::{Counted, this_command_line_with},
};

/// Number of sealed files beyond which a key cache is suggested.
const MANY: u64 = 1_000;

/// Encrypts and uploads files under the prefix.
pub(super) async fn run(session: &Session, args: PutArgs) -> Result<(), Failure> {
    check(&args)?;
    let format = Format::of(session, &args)?;
    let keyring = format.keyring(session, &args).await?;
    let to = args.to.clone().into_folder();
    // One client, so that all files share one memory budget.
    let putter = &Putter::new(
        format.client(session.client_builder_of(&to.bucket, Arc::clone(&keyring))),
        keyring,
        encryption_context(args.context.clone())?,
        PutSettings {
            stored: args.stored.clone(),
            resume: args.resume,
            dry_run: args.folders.dry_run,
        },
    )
    .in_format(format.written());
    let (args, to) = (&args, &to);
    let mut seen = (args.files.len() > 1).then(HashSet::new);
    let filter = &args.folders.filter;
    let files = local_files::files(args.files.clone(), !args.no_follow_symlinks, filter.clone())
        .try_filter(|found: &Found| std::future::ready(found.is_meant(filter)));
    let files = files.and_then(|found: Found| {
        // Two files with the same name must not overwrite each other's object.
        let mut is_new =
            |file: &LocalFile| seen.as_mut().is_none_or(|seen| seen.insert(file.relative.clone()));
        std::future::ready(Ok(match found {
            Found::File(file) if !is_new(&file) => {
                let reason =
                    format!("another file has the same destination {}{}", to, file.relative);
                Found::Unfit(Unfit::of(file, reason))
            }
            found => found,
        }))
    });
    let is_single = args.files.len() == 1 && !args.folders.recursive;
    let put_file = |file: LocalFile| async move {
        // A single file can have any destination.
        let uri = match is_single {
            true => destination(args)?,
            false => to.below(&file.relative)?,
        };
        let comparison = match args.folders.skip_unchanged {
            true => Comparison::Metadata,
            false => Comparison::None,
        };
        let expected = if args.no_overwrite { Expected::NoObject } else { Expected::Any };
        let path = file.path.clone();
        let outcome = match putter.put(file, &uri, comparison, expected).await? {
            PutDone::Unchanged => {
                Outcome::Unchanged(format!("skipped {}: unchanged", path.display()))
            }
            PutDone::Planned(len) => {
                let bytes = Counted(len, "byte");
                Outcome::Done(format!("would seal {} as {uri} ({bytes})", path.display()), len)
            }
            PutDone::Stored(output, _) => {
                if args.json {
                    output.print(&path, &uri);
                }
                Outcome::Done(output.summary(&path, &uri), output.bytes)
            }
        };
        Ok::<_, Failure>(if is_single { outcome.noted() } else { outcome })
    };
    let put = |found: Found| async move {
        match found {
            Found::File(file) => {
                let path = file.path.display().to_string();
                put_file(file).await.unwrap_or_else(|failure| Outcome::Failed(path, failure))
            }
            found => found.left_out(),
        }
    };
    let (roots, follows) = (args.files.clone(), !args.no_follow_symlinks);
    let meant = filter.clone();
    let mut counts =
        Summary::default().measured_by(move || local_files::lengths(roots, follows, meant));
    let done =
        unless_stopped(counts.run(session, files, &engine(args.folders.concurrency), put)).await;
    // A second signal ends the wait until the uploads are aborted.
    let settled = unless_stopped(putter.client.settle()).await;
    session.report_unclaimed(&putter.client);
    let verb = if args.folders.dry_run { "would seal" } else { "sealed" };
    let (files, bytes) = (Counted(counts.done, "file"), Counted(counts.bytes, "byte"));
    if counts.all() > 0 && !(is_single && counts.done == 1) {
        session.say(format!("{verb} {files} under {to} ({bytes}){counts}"));
    }
    putter.report_lacking(session);
    let sealed = if args.folders.dry_run || args.json { 0 } else { counts.done };
    if let Some(suggestion) = suggestion(sealed, args) {
        session.say(suggestion);
    }
    let unfinished = Unfinished::new(
        "the remaining files were not uploaded; rerun with --skip-unchanged to continue",
        "to continue",
        this_command_line_with("--skip-unchanged"),
    );
    unfinished.check(settled.and(done))?;
    counts.some("file", args.files[0].display())?;
    counts.result("file")
}

/// Returns what to try next time, if many files were sealed without a key cache.
fn suggestion(sealed: u64, args: &PutArgs) -> Option<&'static str> {
    let has_no_cache = args.format == FormatArg::Native && !args.cache.is_on();
    (sealed > MANY && has_no_cache).then_some(
        "each of them took calls to the key service: with --key-cache, one call serves many files",
    )
}

fn check(args: &PutArgs) -> Result<(), Failure> {
    if args.files.iter().any(|file| is_standard_stream(file)) {
        return Err(Failure::usage(
            "standard input cannot be combined with other files or --recursive",
        ));
    }
    if args.state_file.is_some() {
        return Err(Failure::usage(
            "--state-file requires a single file: omit it to keep state files in the state directory",
        ));
    }
    if let Some(folder) = args.files.iter().find(|file| file.is_dir() && !args.folders.recursive) {
        return Err(is_a_folder(folder));
    }
    if args.files.len() > 1 && !args.to.is_folder() {
        let failure =
            Failure::usage(format!("several files require a folder as destination: {}/", args.to));
        return Err(failure.advise("append a slash to the destination"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::command::{Cli, Command};

    #[test]
    fn a_key_cache_is_suggested_after_many_files() {
        let suggested = |sealed, more: &[&str]| {
            let words = [&["sealwax", "put", "f", "s3://b/", "-r"], more].concat();
            let Command::Put(args) = Cli::parse_from(words).command else { panic!("it is a put") };
            suggestion(sealed, &args)
        };
        assert!(suggested(1_001, &[]).is_some_and(|text| text.contains("with --key-cache")));
        assert_eq!((suggested(1_000, &[]), suggested(1_001, &["--key-cache"])), (None, None));
        assert_eq!(suggested(1_001, &["--format", "s3ec-v3"]), None);
    }
}
