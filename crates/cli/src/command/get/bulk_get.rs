//! `sealwax get` of folders.

use sealwax_s3::{ListedObject, UnencryptedObjects, envelope::CachingKeyring};

use super::{
    Opened,
    args::GetArgs,
    getter::{ExpectedFile, GetDone, Getter},
};
use crate::{
    args::{Prefix, encryption_context},
    bulk::{Outcome, Summary, engine},
    comparison::Comparison,
    console::{is_standard_stream, print_json},
    failure::{Failure, Unfinished},
    folder_listing::{self, Listed},
    interrupt::unless_stopped,
    session::Session,
    terminal_text::{Counted, this_command_line_with},
};

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
    let keyring = CachingKeyring::new(session.keyrings().reading(args.reader.clone()).await?);
    let mut client = session.client_builder_of(&from.bucket, keyring).s3ec(args.s3ec.settings()?);
    if args.pass_unencrypted {
        client = client.unencrypted(UnencryptedObjects::PassThrough);
    }
    let client = client.build();
    let objects = folder_listing::objects(&client, &from, args.folders.filter.clone());
    let lengths = folder_listing::lengths(&client, &from, &args.folders.filter);
    let (args, context) = (&args, encryption_context(args.context.clone())?);
    let getter = &Getter::new(client, context, args.file.clone(), args.folders.dry_run);
    let get = |Listed { object, relative }| async move {
        let got = get(getter, args, &object, &relative).await;
        got.unwrap_or_else(|failure| Outcome::Failed(object.to_string(), failure))
    };
    let mut summary = Summary::default().measured_by(lengths);
    let concurrency = args.folders.concurrency;
    let done = unless_stopped(summary.run(session, objects, &engine(concurrency), get)).await;
    session.report_leftovers(getter.leftovers_removed());
    if summary.all() > 0 {
        session.say(text_of(&from, args, &summary));
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

async fn get(
    getter: &Getter,
    args: &GetArgs,
    object: &ListedObject,
    relative: &str,
) -> Result<Outcome, Failure> {
    let comparison = match args.folders.skip_unchanged {
        true => Comparison::Metadata,
        false => Comparison::None,
    };
    let expected = if args.no_overwrite { ExpectedFile::NoFile } else { ExpectedFile::Any };
    let done = getter.get(object, relative, comparison, expected).await?;
    let file = args.file.join(relative);
    let path = file.display();
    Ok(match done {
        GetDone::Unchanged => Outcome::Unchanged(format!("skipped {path}: unchanged")),
        GetDone::Skipped(outcome) => outcome,
        GetDone::Planned(len) => {
            Outcome::Done(format!("would open {object} as {path}"), len.unwrap_or_default())
        }
        GetDone::Opened(info) => {
            if args.json {
                let uri = object.to_string().parse().map_err(Failure::usage)?;
                print_json(&Opened::new(&uri, &file, &info));
            }
            let bytes = Counted(info.plaintext_len(), "byte");
            Outcome::Done(format!("opened {object} as {path} ({bytes})"), info.plaintext_len())
        }
    })
}
