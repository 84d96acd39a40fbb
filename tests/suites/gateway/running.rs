//! A gateway that runs in this process.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use aws_credential_types::Credentials;
use sealwax_gateway::{
    Clients, ConnectionLimits, Gateway, GatewaySettings, SpoolSettings, UnsealedObjects,
};
use sealwax_s3::{
    SealedClient,
    aws_config::{BehaviorVersion, Region, retry::RetryConfig},
    aws_sdk_s3::{
        self, Client,
        config::{
            SharedCredentialsProvider, StalledStreamProtectionConfig,
            retry::{RetryPartition, TokenBucket},
        },
    },
    envelope::CachingKeyring,
};
use sealwax_tests::{LocalStack, PART, east, file_names, in_time, unique, wait_until};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use crate::plan::PlannedWire;

pub(crate) const ACCESS_KEY: &str = "gateway-suite";
pub(crate) const SECRET_KEY: &str = "secret-of-the-gateway-suite";
const MIB: u64 = 1 << 20;

/// Folder of a gateway, which outlives its process: its clients and its spool.
#[derive(Debug)]
pub(crate) struct Home {
    folder: TempDir,
}

impl Home {
    /// Creates the folder of a gateway whose only client may use `bucket`.
    pub(crate) fn new(bucket: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let clients = folder.path().join("clients.toml");
        let text = format!(
            "[[client]]\nname = \"suite\"\naccess_key_id = \"{ACCESS_KEY}\"\n\
             secret_access_key = \"{SECRET_KEY}\"\nbuckets = [\"{bucket}\"]\n"
        );
        fs::write(&clients, text).expect("written");
        fs::set_permissions(&clients, fs::Permissions::from_mode(0o600)).expect("set");
        fs::create_dir(folder.path().join("spool")).expect("made");
        Self { folder }
    }

    fn spool(&self) -> PathBuf {
        self.folder.path().join("spool")
    }

    /// Returns the names of the records in the spool. Parts have no names.
    pub(crate) fn records(&self) -> Vec<String> {
        file_names(&self.spool())
    }

    /// Returns a gateway over `wire`, and its sealed client. Without `retries`, a failed request to KMS
    /// is final: all its clients of a process share one budget of retries.
    pub(crate) fn gateway(&self, wire: &PlannedWire, retries: bool) -> (Gateway, SealedClient) {
        let stack = LocalStack::over(wire.wire.clone(), east());
        let backoff = RetryConfig::standard()
            .with_initial_backoff(Duration::from_millis(1))
            .with_max_backoff(Duration::from_millis(5));
        let config = stack.s3().config().to_builder();
        let config = config
            .retry_config(backoff.clone())
            .retry_partition(
                RetryPartition::custom(unique("gateway"))
                    .token_bucket(TokenBucket::unlimited())
                    .build(),
            )
            // Faults come from the plan. A server that is merely slow is none.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        let s3 = Client::from_conf(config.build());
        let of_kms = if retries { backoff } else { RetryConfig::disabled() };
        let config = stack.config.to_builder().retry_config(of_kms).build();
        let key = stack.home.key.clone();
        let keyring = LocalStack { config, ..stack }.keyring([&key]);
        // As `sealwax serve` has it.
        let client = SealedClient::builder(s3, CachingKeyring::new(keyring))
            .part_len(PART)
            .memory_budget(64 << 20)
            .build();
        let clients = Clients::load(self.folder.path().join("clients.toml")).expect("clients");
        let settings = GatewaySettings {
            clients: Arc::new(clients),
            domains: Vec::new(),
            region: None,
            context: vec![("app".into(), "suite".into())],
            memory_budget: 128 * MIB,
            spool: Some(SpoolSettings { directory: self.spool(), len: 1 << 30, files: 1_000 }),
            records: Some(self.spool()),
            connections: ConnectionLimits::default(),
            unsealed: UnsealedObjects::Refuse,
            access_log: None,
        };
        (Gateway::new(client.clone(), settings), client)
    }

    /// Aborts what an earlier gateway recorded, as the next start does. Returns how many uploads there
    /// were.
    pub(crate) async fn sweep(&self) -> usize {
        let (gateway, _) = self.gateway(&PlannedWire::new(Vec::new()), true);
        gateway.sweep().await.expect("the records can be read")
    }

    /// Starts a gateway over `wire`.
    pub(crate) async fn start(&self, wire: &PlannedWire, retries: bool) -> Running {
        let (gateway, sealed) = self.gateway(wire, retries);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (close, closed) = oneshot::channel::<()>();
        let serving = gateway.clone();
        let task = tokio::spawn(async move {
            let closed = async { drop(closed.await) };
            serving.serve(listener, None, closed).await.expect("no TLS files");
        });
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("us-east-1"))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
                ACCESS_KEY, SECRET_KEY, None, None, "tests",
            )))
            .endpoint_url(format!("http://{address}"))
            // Its connections close after each request, so that none is open at rest.
            .http_client(
                aws_smithy_http_client::Builder::new().pool_max_idle_per_host(0).build_http(),
            )
            .retry_config(RetryConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .force_path_style(true);
        let client = Client::from_conf(config.build());
        Running { gateway, sealed, address, client, close, task }
    }
}

/// A running gateway, and a client of it that repeats nothing.
pub(crate) struct Running {
    gateway: Gateway,
    sealed: SealedClient,
    pub(crate) address: SocketAddr,
    pub(crate) client: Client,
    close: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    /// Returns a value of the metrics.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let metrics = self.gateway.metrics();
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} is not in\n{metrics}")).parse().expect("a number")
    }

    /// Waits until no request is in progress, and all that was cancelled has ended. With `all`, no upload
    /// is open any more, and no memory is taken.
    pub(crate) async fn settle(&self, all: bool) {
        const GAUGES: [&str; 3] =
            ["sealwax_requests_in_progress", "sealwax_memory_bytes", "sealwax_multipart_uploads"];
        for name in &GAUGES[..if all { 3 } else { 1 }] {
            wait_until(name, async || self.metric(name) == 0).await;
        }
        in_time("the aborts", self.sealed.settle()).await;
    }

    /// Waits until the gateway has noticed that its clients are gone.
    pub(crate) async fn no_connection(&self) {
        wait_until("connections", async || self.metric("sealwax_connections") == 0).await;
        in_time("the aborts", self.sealed.settle()).await;
    }

    /// Ends the gateway as SIGTERM does.
    pub(crate) async fn end(self) {
        let Self { close, task, .. } = self;
        drop(close);
        in_time("the gateway's end", task).await.expect("it does not panic");
    }
}

/// Returns the address of an object at the gateway.
pub(crate) fn path(bucket: &str, key: &str) -> String {
    Path::new("/").join(bucket).join(key).to_str().expect("text").to_owned()
}
