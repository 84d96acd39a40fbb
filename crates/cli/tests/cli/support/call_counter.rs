//! A proxy that counts calls.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    sync::{Arc, Mutex},
};

use super::relay::relay;

/// Passes everything on to a server, and counts requests: of KMS by operation and Region, of S3 by
/// method.
pub(crate) struct CallCounter {
    url: String,
    counts: Counts,
}

type Counts = Arc<Mutex<BTreeMap<String, usize>>>;

impl CallCounter {
    /// Starts to listen.
    pub(crate) fn start(server: &str) -> Self {
        let counts = Counts::default();
        let shared = Arc::clone(&counts);
        let url = relay(server, move |client, server| pass(client, server, &shared));
        Self { url, counts }
    }

    /// Returns its address.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Returns the counts since the last time, by names such as `HEAD` and `Decrypt us-east-1`.
    pub(crate) fn take(&self) -> BTreeMap<String, usize> {
        std::mem::take(&mut self.counts.lock().expect("no panic"))
    }
}

fn pass(mut client: TcpStream, mut server: TcpStream, counts: &Counts) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(len @ 1..) = client.read(&mut buffer) {
        // The SDK sends the head of a request as one piece.
        let text = String::from_utf8_lossy(&buffer[..len]);
        let method = text.split(' ').next().unwrap_or_default();
        let after = |name: &str| text.split(name).nth(1).map(str::to_owned);
        let name = match after("TrentService.") {
            Some(target) => {
                // Credential=ID/DATE/REGION/SERVICE/aws4_request
                let credential = after("Credential=").expect("signed");
                let region = credential.split('/').nth(2).expect("a Region");
                Some(format!("{} {region}", target.split_whitespace().next().expect("a name")))
            }
            None => {
                let methods = ["DELETE", "GET", "HEAD", "POST", "PUT"];
                methods.contains(&method).then(|| method.to_owned())
            }
        };
        if let Some(name) = name {
            *counts.lock().expect("no panic").entry(name).or_default() += 1;
        }
        if server.write_all(&buffer[..len]).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Write);
}
