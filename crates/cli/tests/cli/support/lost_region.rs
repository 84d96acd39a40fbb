//! Proxy with an unavailable Region.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
};

use super::relay::relay;

/// Forwards everything to a server, but drops connections with requests signed for one Region.
pub(crate) struct LostRegion {
    url: String,
}

impl LostRegion {
    /// Starts the proxy.
    pub(crate) fn start(server: &str, region: &str) -> Self {
        // Matches `Credential=ID/DATE/REGION/SERVICE/aws4_request`.
        let scope = format!("/{region}/");
        Self { url: relay(server, move |client, server| pass(client, server, scope.as_bytes())) }
    }

    /// Returns its address.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

fn pass(mut client: TcpStream, mut server: TcpStream, scope: &[u8]) {
    let mut buffer = vec![0; 64 * 1024];
    // End of the last read, because the scope may be split between two reads.
    let mut tail = Vec::new();
    while let Ok(len @ 1..) = client.read(&mut buffer) {
        tail.extend_from_slice(&buffer[..len]);
        if tail.windows(scope.len()).any(|window| window == scope) {
            let _ = client.shutdown(Shutdown::Both);
            break;
        }
        tail.drain(..tail.len().saturating_sub(scope.len()));
        if server.write_all(&buffer[..len]).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Both);
}
