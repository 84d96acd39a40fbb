//! A proxy that records which parts pass, and can hold some back.

use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicI32, Ordering},
    },
};

use super::relay::relay;

/// Passes everything on to a server except held parts, and records the numbers of the parts that
/// it sees.
pub(crate) struct PartsProxy {
    url: String,
    parts: Arc<Mutex<BTreeSet<i32>>>,
    last: Arc<AtomicI32>,
}

impl PartsProxy {
    /// Starts to listen, and passes everything on.
    pub(crate) fn start(server: &str) -> Self {
        Self::holding_after(server, i32::MAX)
    }

    /// Starts to listen, and holds back all parts above this number: the upload can't end. Until the
    /// others have come, it is too busy for these.
    pub(crate) fn holding_after(server: &str, last: i32) -> Self {
        let parts = Arc::new(Mutex::new(BTreeSet::new()));
        let last = Arc::new(AtomicI32::new(last));
        let (seen, limit) = (Arc::clone(&parts), Arc::clone(&last));
        let url = relay(server, move |client, server| pass(client, server, &seen, &limit));
        Self { url, parts, last }
    }

    /// Holds back all later parts above this number. Parts that are held already stay held.
    pub(crate) fn hold_after(&self, last: i32) {
        self.last.store(last, Ordering::Relaxed);
    }

    /// Returns its address.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Returns the numbers of the forwarded parts.
    pub(crate) fn parts(&self) -> BTreeSet<i32> {
        self.parts.lock().expect("no panic").clone()
    }
}

fn pass(
    mut client: TcpStream,
    mut server: TcpStream,
    seen: &Mutex<BTreeSet<i32>>,
    last: &AtomicI32,
) {
    let mut buffer = vec![0; 64 * 1024];
    // The end of the last read, because a parameter may be cut in two.
    let mut tail = Vec::new();
    while let Ok(len @ 1..) = client.read(&mut buffer) {
        tail.extend_from_slice(&buffer[..len]);
        let parts = part_numbers(&tail);
        let last = last.load(Ordering::Relaxed);
        let is_held = parts.iter().any(|part| *part > last);
        // A client that sends few parts at a time would never send these.
        let is_early = {
            let mut seen = seen.lock().expect("no panic");
            let is_early = is_held && !(1..=last).all(|part| seen.contains(&part));
            if !is_early {
                seen.extend(&parts);
            }
            is_early
        };
        if is_early {
            let busy = b"HTTP/1.1 503 Slow Down\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            let _ = client.write_all(busy).and_then(|()| client.shutdown(Shutdown::Write));
        }
        if is_held {
            // The server sees the beginning of the request at most, until the client is gone.
            let _ = std::io::copy(&mut client, &mut std::io::sink());
            break;
        }
        tail.drain(..tail.len().saturating_sub(32));
        if server.write_all(&buffer[..len]).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Write);
}

/// The numbers in all `partNumber=NUMBER&`. Ciphertext does not contain that by chance.
fn part_numbers(bytes: &[u8]) -> Vec<i32> {
    const NAME: &[u8] = b"partNumber=";
    let at = bytes.windows(NAME.len()).enumerate().filter(|(_, window)| *window == NAME);
    let number = |at: usize| {
        let rest = &bytes[at + NAME.len()..];
        let end = rest.iter().position(|byte| !byte.is_ascii_digit())?;
        std::str::from_utf8(&rest[..end]).ok()?.parse().ok()
    };
    at.filter_map(|(at, _)| number(at)).collect()
}
