//! A proxy that tells which parts were sent, and can hold them up.

use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use super::relay::relay;

/// Passes everything on to a server, and takes note of the numbers of the parts that pass.
pub(crate) struct PartsProxy {
    url: String,
    parts: Arc<Mutex<BTreeSet<i32>>>,
}

impl PartsProxy {
    /// Begins to listen.
    pub(crate) fn start(server: &str) -> Self {
        Self::delaying(server, Duration::ZERO)
    }

    /// Begins to listen, and passes each part on after its number times `delay`: so that they arrive one after the other,
    /// however fast the server is.
    pub(crate) fn delaying(server: &str, delay: Duration) -> Self {
        let parts = Arc::new(Mutex::new(BTreeSet::new()));
        let seen = Arc::clone(&parts);
        Self { url: relay(server, move |client, server| pass(client, server, &seen, delay)), parts }
    }

    /// Its address.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The parts that were sent through it.
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
    // The end of what was read last: a name may be cut in two.
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

/// The numbers in all `partNumber=NUMBER&`: ciphertext does not happen to hold that.
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
