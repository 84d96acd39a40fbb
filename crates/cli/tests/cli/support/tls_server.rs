//! A server with TLS.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use tokio_rustls::rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

/// Answers every request with 403, by a certificate of an authority that no machine trusts.
pub(crate) struct TlsServer {
    url: String,
    answered: Arc<AtomicUsize>,
}

impl TlsServer {
    /// Starts the server.
    pub(crate) fn start() -> Self {
        let chain = CertificateDer::pem_file_iter(file("server.pem")).expect("a file");
        let chain = chain.map(|certificate| certificate.expect("a certificate")).collect();
        let key = PrivateKeyDer::from_pem_file(file("server.key")).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("a certificate and its key");
        let (config, listener) =
            (Arc::new(config), TcpListener::bind("127.0.0.1:0").expect("a free port"));
        let url = format!("https://{}", listener.local_addr().expect("an address"));
        let answered = Arc::<AtomicUsize>::default();
        let counter = Arc::clone(&answered);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let tls = ServerConnection::new(Arc::clone(&config)).expect("a connection");
                let mut client = BufReader::new(StreamOwned::new(tls, client));
                // A client that trusts no one sends no request.
                let mut line = String::new();
                while client.read_line(&mut line).is_ok_and(|read| read > "\r\n".len()) {
                    line.clear();
                }
                if line != "\r\n" {
                    continue;
                }
                counter.fetch_add(1, Ordering::Relaxed);
                let answer = "HTTP/1.1 403 -\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                let _ = client.get_mut().write_all(answer.as_bytes());
                client.get_mut().conn.send_close_notify();
                let _ = client.get_mut().flush();
            }
        });
        Self { url, answered }
    }

    /// Returns its address.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Returns the number of requests that it answered.
    pub(crate) fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// Returns the file of the authority's certificate.
    pub(crate) fn authority() -> PathBuf {
        file("ca.pem")
    }

    /// Returns the file of the server's own certificate, which is no authority's.
    pub(crate) fn certificate() -> PathBuf {
        file("server.pem")
    }
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/tls").join(name)
}
