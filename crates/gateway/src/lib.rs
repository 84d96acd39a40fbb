#![doc = include_str!("../README.md")]

mod bucket_prefix;
mod budget;
pub(crate) mod checksums;
mod clients;
mod context;
mod counted_body;
mod echo;
mod entity_tag;
mod failure;
pub(crate) mod gate;
mod metrics;
mod multipart;
mod names;
mod operations;
mod rfc2047;
mod server;
mod service;
mod status;
mod unsealed;
mod upstream;

use std::{fmt, path::PathBuf, sync::Arc};

use s3s::{
    config::{S3Config, StaticConfigProvider},
    service::S3ServiceBuilder,
};
use sealwax_s3::SealedClient;
use tokio::net::TcpListener;

use self::{
    budget::Budget,
    gate::{Gate, GateSettings},
    metrics::{Gauges, Metrics},
    multipart::{PartStore, Spool, Uploads},
    server::Server,
    service::Service,
    upstream::Upstream,
};
/// Ways into the parsers of requests, for the fuzz targets.
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::gate::fuzzing::{AdmittedHead, Head, unsigned_payload};
}

pub use self::{
    bucket_prefix::{BucketPrefix, InvalidBucketPrefix},
    clients::{ClientCredentials, Clients, InvalidClients},
    multipart::SpoolSettings,
    server::{AccessLog, AccessRecord, ConnectionLimits, InvalidTls, TlsFiles},
    unsealed::UnsealedObjects,
};

/// Longest XML body of a request in bytes.
const MAX_XML_LEN: usize = 4 << 20;
/// Memory for such bodies, over all requests, in bytes. They have their own: the parts that wait for the end
/// of an upload can take all other memory.
const DOCUMENTS_LEN: u64 = 16 << 20;

/// Settings of a [`Gateway`].
#[derive(Clone)]
pub struct GatewaySettings {
    /// Clients that may come.
    pub clients: Arc<Clients>,
    /// Domains in front of which a host names a bucket.
    pub domains: Vec<String>,
    /// Region that signatures must be for; any if there is none.
    pub region: Option<String>,
    /// Treatment of objects that are not sealed.
    pub unsealed: UnsealedObjects,
    /// Encryption context of new objects.
    pub context: Vec<(String, String)>,
    /// Bytes of bodies that may be in memory, over all requests, at least 16 MiB. Half of it is for bodies
    /// that arrive or wait, half for the parts that are gathered before they are sealed. The client's own
    /// budget for sealed parts comes in addition.
    pub memory_budget: u64,
    /// Spool for parts of multipart uploads that have no room in memory.
    pub spool: Option<SpoolSettings>,
    /// Directory for records of multipart uploads in the store, so that those of a process that was
    /// killed are aborted.
    pub records: Option<PathBuf>,
    /// Limits of connections.
    pub connections: ConnectionLimits,
    /// Called for each request once its answer has ended.
    pub access_log: Option<AccessLog>,
}

/// An S3 endpoint in front of a sealed client.
#[derive(Clone)]
pub struct Gateway {
    server: Server,
    service: Service,
    records: Option<PathBuf>,
}

impl Gateway {
    /// Creates a gateway that stores with `client`, which reads sealed objects alone.
    #[must_use]
    pub fn new(client: SealedClient, settings: GatewaySettings) -> Self {
        let GatewaySettings {
            clients,
            domains,
            region,
            unsealed,
            context,
            memory_budget,
            spool,
            records,
            connections,
            access_log,
        } = settings;
        let budget = Budget::new(memory_budget / 2);
        let puts = Budget::new(memory_budget - memory_budget / 2);
        let spool = spool.map(Spool::new);
        let store = PartStore { budget, puts, spool };
        let service = Service {
            upstream: Upstream::new(client, unsealed, context),
            uploads: Uploads::new(store, records.clone()),
        };
        let mut config = S3Config::default();
        config.xml_max_body_size = MAX_XML_LEN;
        let mut builder = S3ServiceBuilder::new(service.clone());
        builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
        let server = Server {
            gate: Arc::new(Gate::new(GateSettings { clients, domains, region })),
            service: builder.build(),
            metrics: Metrics::default(),
            limits: connections,
            access_log,
            documents: Budget::new(DOCUMENTS_LEN),
        };
        Self { server, service, records }
    }

    /// Aborts multipart uploads in the store that an earlier process began and did not end. Returns
    /// how many there were.
    ///
    /// # Errors
    /// The directory of the records cannot be read.
    pub async fn sweep(&self) -> std::io::Result<usize> {
        match &self.records {
            Some(records) => multipart::sweep(self.service.upstream.client(), records).await,
            None => Ok(0),
        }
    }

    /// Serves clients until `shutdown` ends. Requests in progress may end then; multipart uploads that
    /// are open are aborted.
    ///
    /// # Errors
    /// The TLS files cannot be read.
    pub async fn serve(
        &self,
        listener: TcpListener,
        tls: Option<TlsFiles>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), InvalidTls> {
        self.server.clone().run(listener, tls, shutdown).await?;
        self.service.uploads.abort_all().await;
        self.service.upstream.client().settle().await;
        Ok(())
    }

    /// Serves `/metrics`, `/health` and `/ready` over plain HTTP until `shutdown` ends.
    pub async fn serve_status(&self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        status::serve(self.clone(), listener, shutdown).await;
    }

    /// Returns all counts in the text format of Prometheus.
    #[must_use]
    pub fn metrics(&self) -> String {
        let uploads = &self.service.uploads;
        let gauges = Gauges { memory: uploads.memory(), uploads: uploads.open_count() };
        self.server.metrics.text(gauges)
    }
}

impl fmt::Debug for GatewaySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewaySettings")
            .field("clients", &self.clients)
            .field("memory_budget", &self.memory_budget)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("server", &self.server).finish_non_exhaustive()
    }
}
