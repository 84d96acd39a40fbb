//! A proxy behind which a Region is gone.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
};

use super::relay::relay;

/// Passes everything on to a server, but what is signed for one Region: then it breaks the connection.
pub(crate) struct LostRegion {
    url: String,
}

impl LostRegion {
    /// Begins to listen.
    pub(crate) fn start(server: &str, region: &str) -> Self {
        // As in `Credential=ID/DATE/REGION/SERVICE/aws4_request`.
        let scope = format!("/{region}/");
        Self { url: relay(server, move |client, server| pass(client, server, scope.as_bytes())) }
    }

    /// Its address.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

fn pass(mut client: TcpStream, mut server: TcpStream, scope: &[u8]) {
    let mut buffer = vec![0; 64 * 1024];
    // The end of what was read last: the scope may be cut in two.
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
