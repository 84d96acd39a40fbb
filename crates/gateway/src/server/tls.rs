//! TLS, with certificates that are read again when their files change.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
    server::TlsStream,
};

/// Time between checks of the files.
const LOOK: Duration = Duration::from_secs(10);

/// Files of a certificate chain and of its private key, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificates, the server's first.
    pub certificates: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

impl TlsFiles {
    /// Checks that the files can be used.
    ///
    /// # Errors
    /// They cannot.
    pub fn check(&self) -> Result<(), InvalidTls> {
        read(self).map(drop)
    }
}

/// TLS files that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", path.display())]
pub struct InvalidTls {
    path: PathBuf,
    why: String,
}

/// Accepts TLS connections. Clones share the certificates.
#[derive(Clone)]
pub(crate) struct Acceptor(Arc<Inner>);

struct Inner {
    files: TlsFiles,
    current: Mutex<Current>,
}

struct Current {
    config: Arc<ServerConfig>,
    modified: [Option<SystemTime>; 2],
    looked: Instant,
}

impl Acceptor {
    pub(crate) fn new(files: TlsFiles) -> Result<Self, InvalidTls> {
        let modified = modified(&files);
        let current = Current { config: read(&files)?, modified, looked: Instant::now() };
        Ok(Self(Arc::new(Inner { files, current: Mutex::new(current) })))
    }

    pub(crate) async fn accept<S>(&self, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        TlsAcceptor::from(self.config()).accept(stream).await
    }

    /// Returns the newest certificates. Files that cannot be used are logged, and the old ones stay.
    fn config(&self) -> Arc<ServerConfig> {
        let Inner { files, current } = &*self.0;
        let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.looked.elapsed() >= LOOK {
            current.looked = Instant::now();
            let modified = modified(files);
            if modified != current.modified {
                match read(files) {
                    Ok(config) => (current.config, current.modified) = (config, modified),
                    Err(error) => tracing::error!(%error, "the old certificate stays in use"),
                }
            }
        }
        Arc::clone(&current.config)
    }
}

fn modified(files: &TlsFiles) -> [Option<SystemTime>; 2] {
    let modified = |path: &Path| std::fs::metadata(path).and_then(|file| file.modified()).ok();
    [modified(&files.certificates), modified(&files.key)]
}

fn read(files: &TlsFiles) -> Result<Arc<ServerConfig>, InvalidTls> {
    let invalid = |path: &Path, why: String| InvalidTls { path: path.to_owned(), why };
    let chain = CertificateDer::pem_file_iter(&files.certificates)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| invalid(&files.certificates, error.to_string()))?;
    if chain.is_empty() {
        return Err(invalid(&files.certificates, "it has no certificate".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| invalid(&files.key, error.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid(&files.certificates, error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| invalid(&files.key, error.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").field("files", &self.0.files).finish_non_exhaustive()
    }
}
