//! The way to KMS, in the test's process: TLS ends here and leaves its buffers here.

use std::{
    collections::BTreeSet,
    env,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy, split},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};

/// Start of the header that names an operation of KMS.
const TARGET: &[u8] = b"TrentService.";

/// Passes connections on to LocalStack, and records the operations that are called.
pub(crate) struct KmsProxy {
    url: String,
    operations: Arc<Mutex<BTreeSet<String>>>,
}

impl KmsProxy {
    /// Starts the proxy in a thread that runs until the process ends.
    pub(crate) fn start(tls: bool) -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("bound");
        let address = listener.local_addr().expect("bound");
        let url = format!("{}://{address}", if tls { "https" } else { "http" });
        let operations = Arc::default();
        let acceptor = tls.then(acceptor);
        let recorded = Arc::clone(&operations);
        thread::spawn(move || {
            runtime.block_on(async {
                loop {
                    let (client, _) = listener.accept().await.expect("a connection");
                    let (acceptor, recorded) = (acceptor.clone(), Arc::clone(&recorded));
                    tokio::spawn(async move {
                        match acceptor {
                            None => pass_on(client, &recorded).await,
                            Some(acceptor) => {
                                let client = acceptor.accept(client).await.expect("TLS");
                                pass_on(client, &recorded).await;
                            }
                        }
                    });
                }
            });
        });
        Self { url, operations }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Returns the names of the operations that were called.
    pub(crate) fn operations(&self) -> BTreeSet<String> {
        self.operations.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn acceptor() -> TlsAcceptor {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tls");
    let chain = CertificateDer::pem_file_iter(format!("{directory}/server.pem"));
    let chain = chain.expect("a file").map(|certificate| certificate.expect("a certificate"));
    let key = PrivateKeyDer::from_pem_file(format!("{directory}/server.key")).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain.collect(), key)
        .expect("the key is the certificate's");
    TlsAcceptor::from(Arc::new(config))
}

/// Passes on one connection. Ends when either side closes it.
async fn pass_on(client: impl AsyncRead + AsyncWrite, operations: &Mutex<BTreeSet<String>>) {
    let server = env::var("SEALWAX_TEST_LOCALSTACK_URL").expect("the servers run");
    let server = server.trim_start_matches("http://").trim_end_matches('/');
    let (mut answers, mut to_server) =
        TcpStream::connect(server).await.expect("connected").into_split();
    let (mut requests, mut to_client) = split(client);
    let upwards = async {
        let (mut buffer, mut read) = (vec![0; 16 << 10], Vec::new());
        loop {
            let len = requests.read(&mut buffer).await?;
            if len == 0 {
                return to_server.shutdown().await;
            }
            // A header may arrive in pieces.
            read.extend_from_slice(&buffer[..len]);
            operations.lock().unwrap_or_else(PoisonError::into_inner).extend(named(&read));
            to_server.write_all(&buffer[..len]).await?;
        }
    };
    let downwards = copy(&mut answers, &mut to_client);
    // Connections break when the scanned process ends.
    let _ = tokio::join!(upwards, downwards);
}

/// Returns the operations that whole headers in `requests` name.
fn named(requests: &[u8]) -> impl Iterator<Item = String> {
    requests.windows(TARGET.len()).enumerate().filter(|(_, text)| *text == TARGET).filter_map(
        |(at, _)| {
            let name = &requests[at + TARGET.len()..];
            let end = name.iter().position(|byte| *byte == b'\r')?;
            Some(String::from_utf8_lossy(&name[..end]).into_owned())
        },
    )
}
