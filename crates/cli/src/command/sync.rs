//! `sealwax sync`.

mod args;
mod deletions;
mod download;
mod pass;
mod record;
mod replicate;
mod there;
mod upload;

use tokio::time::sleep;

pub(super) use self::args::Side;
pub(crate) use self::args::SyncArgs;
use self::{
    pass::{Pass, Sides},
    record::{Counts, Record},
};
use crate::{
    args::TimeSpan,
    console::can_prompt,
    failure::{Exit, Failure},
    interrupt::unless_stopped,
    session::Session,
};

/// Makes the destination equal to the source, once or again and again.
pub(super) async fn run(session: &Session, args: SyncArgs) -> Result<(), Failure> {
    check(&args)?;
    let record = Record::open(args.json, args.journal.as_deref())?;
    record.begin(&args.from.to_string(), &args.to.to_string());
    let ends = Ends::of(session, &args).await?;
    for number in 1.. {
        let pass = Pass::new(session, &args, &record, number);
        let done = match &ends {
            Ends::Upload(upload) => run_pass(&pass, &**upload).await,
            Ends::Download(download) => run_pass(&pass, &**download).await,
            Ends::Copy(copy) => run_pass(&pass, &**copy).await,
        };
        let Some(TimeSpan(pause)) = args.watch else { return done };
        match &done {
            Err(failure) if matches!(failure.exit(), Exit::Stopped(_)) => return done,
            // A mistyped name, or no permission, is not to be tried for ever.
            Err(_) if number == 1 && !pass.has_listed() => return done,
            _ => {}
        }
        if args.passes.is_some_and(|passes| number >= passes) {
            return done;
        }
        if let Err(failure) = &done {
            failure.print();
        }
        let waited = unless_stopped(sleep(pause)).await;
        waited
            .map_err(|signal| Failure::stopped(signal, "the destination is as of the last pass"))?;
    }
    Ok(())
}

/// Runs one pass: transfers, then deletions.
async fn run_pass<T: Sides>(pass: &Pass<'_>, sides: &T) -> Result<(), Failure> {
    let mut counts = Counts::new(pass.number);
    let done = match pass.transfers(sides, &mut counts).await {
        (Ok(()), extras) if pass.args.delete => {
            deletions::run(pass, sides, extras, &mut counts).await
        }
        (Err(failure), _) if pass.args.delete => Err(failure.and("; nothing was deleted")),
        (done, _) => done,
    };
    counts.message = done.as_ref().err().map(Failure::in_one_line);
    let recorded = pass.record.end(&counts);
    done.and(recorded)
}

/// The two sides, with the clients that all passes share.
enum Ends {
    Upload(Box<upload::Upload>),
    Download(Box<download::Download>),
    Copy(Box<replicate::Replication>),
}

impl Ends {
    async fn of(session: &Session, args: &SyncArgs) -> Result<Self, Failure> {
        match (&args.from, &args.to) {
            (Side::Folder(from), Side::Bucket(to)) => {
                let upload = upload::Upload::new(session, args, from, to).await?;
                Ok(Self::Upload(Box::new(upload)))
            }
            (Side::Bucket(from), Side::Folder(to)) => {
                let download = download::Download::new(session, args, from, to).await?;
                Ok(Self::Download(Box::new(download)))
            }
            (Side::Folder(_), Side::Folder(_)) => {
                let failure = Failure::usage("neither side is in S3");
                Err(failure.advise("name one side as s3://BUCKET/PREFIX"))
            }
            (Side::Bucket(from), Side::Bucket(to)) => {
                let copy = replicate::Replication::new(session, args, from, to).await?;
                Ok(Self::Copy(Box::new(copy)))
            }
        }
    }
}

fn check(args: &SyncArgs) -> Result<(), Failure> {
    let is_copy = matches!((&args.from, &args.to), (Side::Bucket(_), Side::Bucket(_)));
    if !is_copy && (!args.there.is_here() || !args.under.is_empty()) {
        let failure = Failure::usage("--under and --to-… require two sides in S3");
        return Err(failure.advise("use --key for an upload, and --region and --endpoint-url"));
    }
    // A job that ran for hours must not end with a question that no one can answer.
    if args.delete && !args.yes && !args.dry_run {
        if args.watch.is_some() {
            let failure = Failure::usage("--delete with --watch cannot ask before each deletion");
            return Err(
                failure.advise("check what would be deleted with --dry-run, then pass --yes")
            );
        }
        if !can_prompt() {
            let failure = Failure::usage("refusing --delete without confirmation: not a terminal");
            return Err(
                failure.advise("check what would be deleted with --dry-run, then pass --yes")
            );
        }
    }
    Ok(())
}
