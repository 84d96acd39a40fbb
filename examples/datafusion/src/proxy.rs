//! A proxy that counts all bytes on the wire, headers included.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// A proxy for plain HTTP between a client and a server.
pub(crate) struct Proxy {
    url: String,
    requests: Arc<AtomicU64>,
    received: Arc<AtomicU64>,
}

pub(crate) struct Counts {
    /// Number of read requests.
    pub(crate) requests: u64,
    /// Bytes from the server.
    pub(crate) received: u64,
}

impl Proxy {
    pub(crate) async fn start(endpoint: &str) -> io::Result<Self> {
        let server = endpoint.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let (requests, received) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let proxy = Self { url, requests: Arc::clone(&requests), received: Arc::clone(&received) };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (server, requests, received) =
                    (server.clone(), Arc::clone(&requests), Arc::clone(&received));
                tokio::spawn(async move { pass(client, &server, &requests, received).await });
            }
        });
        Ok(proxy)
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn reset(&self) {
        self.requests.store(0, Ordering::Relaxed);
        self.received.store(0, Ordering::Relaxed);
    }

    pub(crate) fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts { requests: read(&self.requests), received: read(&self.received) }
    }
}

/// Forwards one connection in both directions until either side closes it.
async fn pass(
    client: TcpStream,
    server: &str,
    requests: &AtomicU64,
    received: Arc<AtomicU64>,
) -> io::Result<()> {
    let (mut from_server, mut to_server) = TcpStream::connect(server).await?.into_split();
    let (mut from_client, mut to_client) = client.into_split();
    let answers = tokio::spawn(async move {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let len = from_server.read(&mut buffer).await?;
            if len == 0 {
                return to_client.shutdown().await;
            }
            received.fetch_add(len as u64, Ordering::Relaxed);
            to_client.write_all(&buffer[..len]).await?;
        }
    });
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let len = from_client.read(&mut buffer).await?;
        if len == 0 {
            break;
        }
        // A read request has no body and arrives in one piece.
        if [&b"GET "[..], b"HEAD"].iter().any(|verb| buffer[..len].starts_with(verb)) {
            requests.fetch_add(1, Ordering::Relaxed);
        }
        to_server.write_all(&buffer[..len]).await?;
    }
    to_server.shutdown().await?;
    answers.await.unwrap_or_else(|error| Err(io::Error::other(error)))
}
