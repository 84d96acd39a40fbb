//! The certificates of authorities by which a server's certificate is verified.

use std::{
    env,
    path::PathBuf,
    sync::{Arc, LazyLock},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use rustls_native_certs::{load_certs_from_paths, load_native_certs};

/// The variable that names a file of authorities, instead of the system's, to AWS's tools. The SDK
/// for Rust does not know it.
const BUNDLE: &str = "AWS_CA_BUNDLE";

/// A file that [`BUNDLE`] names, and that has no certificate.
#[derive(Debug, thiserror::Error)]
#[error("{BUNDLE} is {}, a file in which no certificate can be read{why}", path.display())]
pub(super) struct UnreadableBundle {
    path: PathBuf,
    /// Empty, or with a separator in front.
    why: String,
}

/// Returns the settings of TLS connections.
///
/// # Errors
///
/// [`UnreadableBundle`].
pub(super) fn tls() -> Result<ClientConfig, UnreadableBundle> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("AWS-LC has cipher suites for TLS 1.2 and 1.3");
    let builder = match bundle()? {
        Some(certificates) => builder.with_root_certificates(roots(certificates)),
        None => match SystemRoots::new(&provider) {
            Some(lazy) => builder.dangerous().with_custom_certificate_verifier(Arc::new(lazy)),
            None => builder.with_root_certificates(roots(load_native_certs().certs)),
        },
    };
    Ok(builder.with_no_client_auth())
}

/// Returns the authorities in the file that [`BUNDLE`] names as one text in PEM: the SDK's client
/// panics at a certificate that is none. `None` if it names no file.
///
/// # Errors
///
/// [`UnreadableBundle`].
pub(super) fn bundle_as_pem() -> Result<Option<String>, UnreadableBundle> {
    let authorities = bundle()?.map(|all| all.into_iter().filter(is_authority));
    Ok(authorities.map(|all| all.map(|certificate| pem(&certificate)).collect()))
}

fn pem(certificate: &CertificateDer<'_>) -> String {
    let der = BASE64_STANDARD.encode(certificate);
    format!("-----BEGIN CERTIFICATE-----\n{der}\n-----END CERTIFICATE-----\n")
}

/// Returns the certificates in the file that [`BUNDLE`] names: at least one is an authority's.
fn bundle() -> Result<Option<Vec<CertificateDer<'static>>>, UnreadableBundle> {
    let Some(path) = env::var_os(BUNDLE).filter(|path| !path.is_empty()) else {
        return Ok(None);
    };
    let path = PathBuf::from(path);
    let read = load_certs_from_paths(Some(&path), None);
    if read.certs.iter().any(is_authority) {
        return Ok(Some(read.certs));
    }
    let why = read.errors.iter().map(|failure| format!(": {failure}")).collect();
    Err(UnreadableBundle { path, why })
}

/// `true` if rustls accepts the certificate as an authority's.
fn is_authority(certificate: &CertificateDer<'static>) -> bool {
    RootCertStore::empty().add(certificate.clone()).is_ok()
}

fn roots(certificates: Vec<CertificateDer<'static>>) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    roots
}

/// A verifier that reads the system's folder of authorities only for a certificate that those in the
/// system's file do not vouch for.
///
/// The folder has hundreds of files, mostly the same certificates as the file. The result is that of
/// both together: what some authorities vouch for, more of them do, too.
#[derive(Debug)]
struct SystemRoots {
    in_file: Arc<WebPkiServerVerifier>,
    all: LazyVerifier,
}

/// `None` if the system has no authorities.
type LazyVerifier = LazyLock<
    Option<Arc<WebPkiServerVerifier>>,
    Box<dyn FnOnce() -> Option<Arc<WebPkiServerVerifier>> + Send + Sync>,
>;

impl SystemRoots {
    /// Returns `None` if the system has no file of authorities.
    fn new(provider: &Arc<CryptoProvider>) -> Option<Self> {
        let in_file = verifier(load_certs_from_paths(Some(&system_file()?), None).certs, provider)?;
        let provider = Arc::clone(provider);
        let all = move || verifier(load_native_certs().certs, &provider);
        Some(Self { in_file, all: LazyLock::new(Box::new(all)) })
    }
}

fn verifier(
    certificates: Vec<CertificateDer<'static>>,
    provider: &Arc<CryptoProvider>,
) -> Option<Arc<WebPkiServerVerifier>> {
    let roots = Arc::new(roots(certificates));
    WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider)).build().ok()
}

/// Returns the file that [`load_native_certs`] reads, apart from folders. `None` if there is none, or
/// the system keeps its authorities elsewhere.
fn system_file() -> Option<PathBuf> {
    if cfg!(any(windows, target_os = "macos")) {
        return None;
    }
    let set = |name| env::var_os(name).filter(|value| !value.is_empty());
    match set("SSL_CERT_FILE") {
        Some(file) => Some(file.into()),
        None if set("SSL_CERT_DIR").is_some() => None,
        None => openssl_probe::probe().cert_file,
    }
}

impl ServerCertVerifier for SystemRoots {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let by = |verifier: &WebPkiServerVerifier| {
            verifier.verify_server_cert(certificate, intermediates, name, ocsp, now)
        };
        by(&self.in_file).or_else(|failure| self.all.as_ref().map_or(Err(failure), |all| by(all)))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.in_file.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.in_file.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.in_file.supported_verify_schemes()
    }
}
