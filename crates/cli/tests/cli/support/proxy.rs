//! Proxy that records and can delay uploaded parts.

use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use super::relay::relay;

/// Forwards everything to a server, and records the numbers of forwarded parts.
pub(crate) struct PartsProxy {
    url: String,
    parts: Arc<Mutex<BTreeSet<i32>>>,
}

impl PartsProxy {
    /// Starts the proxy.
    pub(crate) fn start(server: &str) -> Self {
        Self::delaying(server, Duration::ZERO)
    }

    /// Starts the proxy, which delays each part by its number times `delay`.
    ///
    /// The parts arrive in order, even at a fast server.
    pub(crate) fn delaying(server: &str, delay: Duration) -> Self {
        let parts = Arc::new(Mutex::new(BTreeSet::new()));
        let seen = Arc::clone(&parts);
        Self { url: relay(server, move |client, server| pass(client, server, &seen, delay)), parts }
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
    delay: Duration,
) {
    let mut buffer = vec![0; 64 * 1024];
    // End of the last read, because a name may be split between two reads.
    let mut tail = Vec::new();
    while let Ok(len @ 1..) = client.read(&mut buffer) {
        tail.extend_from_slice(&buffer[..len]);
        let parts = part_numbers(&tail);
        let new: Vec<_> =
            parts.into_iter().filter(|part| seen.lock().expect("no panic").insert(*part)).collect();
        if let Some(part) = new.iter().max() {
            thread::sleep(delay * part.unsigned_abs());
        }
        tail.drain(..tail.len().saturating_sub(32));
        if server.write_all(&buffer[..len]).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Write);
}

/// Returns the numbers in all `partNumber=NUMBER&`, which ciphertext does not contain in practice.
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
