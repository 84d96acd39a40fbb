//! Certificate of the null server, and the roots that its clients trust.

use std::{fs, io, path::Path, sync::Arc};

use tokio_rustls::rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use crate::Result;

const SERVER: &str = include_str!("../../../../tests/tls/server.pem");
const KEY: &str = include_str!("../../../../tests/tls/server.key");
const AUTHORITY: &str = include_str!("../../../../tests/tls/ca.pem");
/// Root certificates of the system: reading them is a part of every client's start.
const SYSTEM: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Returns the settings of connections.
pub(super) fn config() -> Result<Arc<ServerConfig>> {
    let chain = CertificateDer::pem_slice_iter(SERVER.as_bytes());
    let chain = chain.collect::<std::result::Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes())?;
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(Arc::new(config))
}

/// Writes the system's roots, if it has any, and that of the null server to `path`.
pub(crate) fn write_roots(path: &Path) -> io::Result<()> {
    let system = fs::read_to_string(SYSTEM).unwrap_or_default();
    fs::write(path, system + AUTHORITY)
}
