//! `sealwax serve`.

use std::{
    convert::Infallible,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use rustix::process::{Resource, getrlimit};
use sealwax_gateway::{
    AccessRecord, BucketPrefix, Clients, ConnectionLimits, Gateway, GatewaySettings, SpoolSettings,
    TlsFiles, UnsealedObjects,
};
use sealwax_s3::KmsKeyName;
use tokio::{net::TcpListener, sync::watch, time::sleep};

use crate::{
    args::{KeyCacheArgs, MIN_GATEWAY_MEMORY, Pair, TimeSpan, UnsealedArg, encryption_context},
    console::print_json,
    failure::{Exit, Failure},
    interrupt::asked_to_stop,
    session::Session,
    state_directory,
    terminal_text::Counted,
};

const EXAMPLES: &str = "\
Examples:
  sealwax serve --clients clients.toml --key \"$KEY\"
  aws --endpoint-url http://127.0.0.1:9000 s3 cp report.pdf s3://bucket/

  sealwax serve --clients clients.toml --key \"$KEY\" --listen 0.0.0.0:9000 \\
      --tls-certificate server.pem --tls-key server.key \\
      --status 127.0.0.1:9001

The file of the clients, which only its owner may read:
  [[client]]
  name = \"backup\"
  access_key_id = \"backup-2026\"
  secret_access_key = \"a-long-random-text\"
  buckets = [\"backups\", \"shared/backup/\"]";

/// Time for which an intermediate key wraps data keys unless `--key-cache` says otherwise.
const DEFAULT_KEY_CACHE: TimeSpan = TimeSpan(Duration::from_secs(300));
/// Time between checks of the clients' file.
const LOOK: Duration = Duration::from_secs(5);
/// One MiB.
const MIB: u64 = 1 << 20;

/// Serve S3 clients in any language, and seal what they store.
///
/// Clients use the endpoint as any S3 service, with credentials of their own. What reaches the bucket
/// is sealed, and what they read is opened. Everything that the endpoint does not have is refused:
/// nothing passes unsealed. Runs until it is interrupted; then requests in progress may end, and open
/// multipart uploads are aborted.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ServeArgs {
    /// Address to listen on; any other than a loopback address requires TLS or --insecure
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9000")]
    pub(crate) listen: SocketAddr,

    /// File of the clients' credentials, of mode 0600, in TOML; it is read again when it
    /// changes
    #[arg(long, value_name = "FILE")]
    pub(crate) clients: PathBuf,

    /// KMS key to wrap data keys under, by ARN, key ID or alias; repeatable, for keys in several
    /// Regions
    #[arg(long = "key", value_name = "KEY")]
    pub(crate) keys: Vec<KmsKeyName>,

    /// Pair of the encryption context that new objects are bound to; repeatable
    #[arg(short = 'c', long = "context", value_name = "NAME=VALUE")]
    pub(crate) context: Vec<Pair>,

    #[command(flatten)]
    pub(crate) cache: KeyCacheArgs,

    /// Objects that are not sealed: refuse to read them, or pass them unchanged [default: refuse]
    ///
    /// Anyone who can write to the bucket can then replace a sealed object by an unsealed one. For the
    /// lengths in a listing, the store is asked about each object. What clients store is always sealed.
    #[arg(long, value_enum)]
    pub(crate) unsealed: Option<UnsealedArg>,

    /// Pass objects that are not sealed in this bucket, or below this prefix, alone; repeatable
    #[arg(long, value_name = "BUCKET[/PREFIX/]", conflicts_with = "unsealed")]
    pub(crate) unsealed_in: Vec<BucketPrefix>,

    /// Domain in front of which a host names a bucket (bucket.DOMAIN); repeatable
    #[arg(long = "domain", value_name = "DOMAIN")]
    pub(crate) domains: Vec<String>,

    /// Certificate chain in PEM, which is read again when it changes
    #[arg(long, value_name = "FILE", requires = "tls_key", help_heading = "Connections")]
    pub(crate) tls_certificate: Option<PathBuf>,

    /// Private key of the certificate in PEM
    #[arg(long, value_name = "FILE", requires = "tls_certificate", help_heading = "Connections")]
    pub(crate) tls_key: Option<PathBuf>,

    /// Listen on an address beyond this machine without TLS
    #[arg(long, conflicts_with = "tls_certificate", help_heading = "Connections")]
    pub(crate) insecure: bool,

    /// Most connections at a time
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000, help_heading = "Connections")]
    pub(crate) max_connections: usize,

    /// Time after which a connection that moves less than 1,000 bytes a second is dropped
    #[arg(long, value_name = "TIME", default_value = "60s", help_heading = "Connections")]
    pub(crate) idle: TimeSpan,

    /// Address for metrics (/metrics, for Prometheus), /health and /ready, over plain HTTP
    #[arg(long, value_name = "ADDRESS", help_heading = "Operations")]
    pub(crate) status: Option<SocketAddr>,

    /// Print one line of JSON for each request to standard output
    #[arg(long, help_heading = "Operations")]
    pub(crate) access_log: bool,

    /// Check the settings, and serve nothing
    #[arg(long, help_heading = "Operations")]
    pub(crate) check: bool,

    /// Memory for bodies in MiB, of which half is for parts that are sealed and sent
    #[arg(long, value_name = "MIB", default_value_t = 256, help_heading = "Memory", value_parser = clap::value_parser!(u64).range(MIN_GATEWAY_MEMORY..))]
    pub(crate) memory: u64,

    /// Folder for parts of multipart uploads that have no room in memory, sealed under keys that are
    /// in memory alone, and for records of uploads, which the next start aborts [default: a folder in
    /// the user's state directory]
    #[arg(long, value_name = "FOLDER", help_heading = "Memory")]
    pub(crate) spool: Option<PathBuf>,

    /// Disk space for the spool in MiB
    #[arg(long, value_name = "MIB", default_value_t = 10_240, help_heading = "Memory")]
    pub(crate) spool_size: u64,
}

/// Serves clients until a signal arrives.
pub(super) async fn run(session: &Session, args: ServeArgs) -> Result<(), Failure> {
    check_listener(session, &args)?;
    let clients = Arc::new(Clients::load(&args.clients).map_err(Failure::usage)?);
    let keys = session.resolve_kms(&args.keys).await?;
    let keyring = session.keyrings().writing(keys, None)?;
    let cache = KeyCacheArgs {
        key_cache: args.cache.key_cache.or(Some(DEFAULT_KEY_CACHE)),
        ..args.cache.clone()
    };
    let keyring = cache.onto(&session.key_store(), keyring)?;
    let unsealed = match args.unsealed {
        Some(UnsealedArg::Pass) => UnsealedObjects::Pass,
        Some(UnsealedArg::Refuse) => UnsealedObjects::Refuse,
        None if args.unsealed_in.is_empty() => UnsealedObjects::Refuse,
        None => UnsealedObjects::PassIn(args.unsealed_in.clone()),
    };
    let half = args.memory * MIB / 2;
    let client = session
        .client_builder_of("", keyring)
        .memory_budget(usize::try_from(half).unwrap_or(usize::MAX))
        .build();
    // Refused pairs are told now, and not with the first object.
    let _ = encryption_context(args.context.clone())?;
    let spool = match &args.spool {
        Some(folder) if folder.is_dir() => folder.clone(),
        Some(folder) => {
            let error = format!("the spool {} is not a folder", folder.display());
            return Err(Failure::usage(error).advise("create it, with mode 0700"));
        }
        None => state_directory::for_gateway()?,
    };
    let gateway = Gateway::new(
        client,
        GatewaySettings {
            clients: Arc::clone(&clients),
            domains: args.domains.clone(),
            region: None,
            unsealed,
            context: args
                .context
                .iter()
                .map(|pair| (pair.name.clone(), pair.value.clone()))
                .collect(),
            memory_budget: half,
            records: Some(spool.clone()),
            spool: Some(SpoolSettings {
                directory: spool,
                len: args.spool_size * MIB,
                files: spooled_files(),
            }),
            connections: ConnectionLimits {
                connections: args.max_connections,
                idle: args.idle.0,
                ..ConnectionLimits::default()
            },
            access_log: args
                .access_log
                .then(|| Arc::new(|record: &AccessRecord| print_json(record)) as _),
        },
    );
    let tls = args.tls_certificate.clone().zip(args.tls_key.clone());
    let tls = tls.map(|(certificates, key)| TlsFiles { certificates, key });
    if let Some(tls) = &tls {
        tls.check().map_err(Failure::usage)?;
    }
    if args.check {
        session.say(format!(
            "the settings are valid: {} of clients",
            Counted(clients.len() as u64, "access key")
        ));
        return Ok(());
    }
    serve(session, &args, &gateway, &clients, tls).await
}

/// Returns how many parts the spool may hold: each keeps a file open. The other half of the files and
/// connections that the system allows this process is for clients and the store.
fn spooled_files() -> u64 {
    getrlimit(Resource::Nofile).current.map_or(u64::MAX, |limit| limit / 2)
}

async fn serve(
    session: &Session,
    args: &ServeArgs,
    gateway: &Gateway,
    clients: &Clients,
    tls: Option<TlsFiles>,
) -> Result<(), Failure> {
    let swept = gateway.sweep().await.map_err(|error| {
        Failure::new(Exit::Failed, format!("the spool cannot be read: {error}"), "check the folder")
    })?;
    if swept > 0 {
        session.say(format!("aborted {swept} uploads of an earlier process"));
    }
    let listener = bind(args.listen).await?;
    let status = match args.status {
        Some(address) => Some(bind(address).await?),
        None => None,
    };
    let scheme = if tls.is_some() { "https" } else { "http" };
    let address = listener.local_addr().unwrap_or(args.listen);
    session.say(format!("serving S3 at {scheme}://{address}"));
    if let Some(status) = &status {
        session.say(format!(
            "status at http://{}/metrics",
            status.local_addr().unwrap_or(args.listen)
        ));
    }
    let (closing, closed) = watch::channel(false);
    let until_closed = |mut closed: watch::Receiver<bool>| async move {
        // It also ends when the sender is gone.
        let _ = closed.wait_for(|closed| *closed).await;
    };
    let work = async {
        let serving = gateway.serve(listener, tls, until_closed(closed.clone()));
        let watched = async {
            if let Some(status) = status {
                gateway.serve_status(status, until_closed(closed.clone())).await;
            }
        };
        tokio::select! {
            (served, ()) = async { tokio::join!(serving, watched) } => served,
            never = follow(session, clients, &args.clients) => match never {},
        }
    };
    let ask = || {
        session.say("ending: requests in progress may finish");
        closing.send_replace(true);
    };
    match asked_to_stop(work, ask).await {
        Ok((served, _)) => served.map_err(Failure::usage),
        Err(signal) => Err(Failure::stopped(signal, "requests in progress were cut off")),
    }
}

/// Reads the clients again when their file changes. If it cannot be used, the old ones stay.
async fn follow(session: &Session, clients: &Clients, path: &Path) -> Infallible {
    let modified = || std::fs::metadata(path).and_then(|file| file.modified()).ok();
    let mut known = modified();
    loop {
        sleep(LOOK).await;
        let now = modified();
        if now != known {
            known = now;
            match clients.reload() {
                Ok(()) => session.say(format!(
                    "read {} again: {}",
                    path.display(),
                    Counted(clients.len() as u64, "access key")
                )),
                Err(error) => session.say(format!("the old clients stay: {error}")),
            }
        }
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        let error = format!("cannot listen on {address}: {error}");
        Failure::new(Exit::Failed, error, "use another address with --listen or --status")
    })
}

/// Refuses an address that others reach without TLS, and one that is the store's.
fn check_listener(session: &Session, args: &ServeArgs) -> Result<(), Failure> {
    // One of them may come from the settings file, where it needs nothing.
    if args.tls_certificate.is_some() != args.tls_key.is_some() {
        let error = "TLS needs a certificate and its private key";
        return Err(Failure::usage(error).advise("pass --tls-certificate and --tls-key"));
    }
    if !args.listen.ip().is_loopback() && args.tls_certificate.is_none() && !args.insecure {
        let error = format!("{} can be reached from other machines without TLS", args.listen);
        return Err(Failure::usage(error).advise(
            "pass --tls-certificate and --tls-key, or --insecure if the network is private",
        ));
    }
    let Some(endpoint) = session.s3_endpoint() else { return Ok(()) };
    let authority = endpoint.split("://").nth(1).unwrap_or_default();
    let authority = authority.split('/').next().unwrap_or_default();
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "80"));
    let is_own_port = port.parse() == Ok(args.listen.port());
    let host = host.trim_matches(['[', ']']);
    let is_here = host.eq_ignore_ascii_case("localhost")
        || host
            .parse()
            .is_ok_and(|ip: std::net::IpAddr| ip.is_loopback() || ip == args.listen.ip());
    if is_own_port && is_here {
        let error = format!("the store's endpoint {endpoint} is the gateway itself");
        return Err(Failure::usage(error).advise("pass the store with --endpoint-url"));
    }
    Ok(())
}
