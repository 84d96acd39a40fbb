//! A proxy that records which parts pass, and can hold some back.

use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    sync::{Arc, Mutex},
};

use super::relay::relay;

/// Passes everything on to a server except held parts, and records the numbers of the parts that
/// it passes on.
pub(crate) struct PartsProxy {
    url: String,
    gate: Arc<Mutex<Gate>>,
}

/// Decides which parts pass.
struct Gate {
    passed: BTreeSet<i32>,
    most: usize,
}

impl Gate {
    /// Lets the parts pass if they passed before, or if there is room for them.
    fn lets_pass(&mut self, parts: &[i32]) -> bool {
        let mut passed = self.passed.clone();
        passed.extend(parts);
        let lets_pass = passed.len() <= self.most || passed == self.passed;
        if lets_pass {
            self.passed = passed;
        }
        lets_pass
    }
}

impl PartsProxy {
    /// Starts to listen, and passes everything on.
    pub(crate) fn start(server: &str) -> Self {
        Self::holding_after(server, usize::MAX)
    }

    /// Starts to listen, and passes on the first parts that come, up to this number of parts. All
    /// others are held back: the upload can't end.
    pub(crate) fn holding_after(server: &str, most: usize) -> Self {
        let gate = Arc::new(Mutex::new(Gate { passed: BTreeSet::new(), most }));
        let of_relay = Arc::clone(&gate);
        let url = relay(server, move |client, server| pass(client, server, &of_relay));
        Self { url, gate }
    }

    /// Passes on parts up to this number of parts. Parts that are held already stay held.
    pub(crate) fn hold_after(&self, most: usize) {
        self.gate.lock().expect("no panic").most = most;
    }

    /// Returns its address.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Returns the numbers of the forwarded parts.
    pub(crate) fn parts(&self) -> BTreeSet<i32> {
        self.gate.lock().expect("no panic").passed.clone()
    }
}

fn pass(mut client: TcpStream, mut server: TcpStream, gate: &Mutex<Gate>) {
    let mut buffer = vec![0; 64 * 1024];
    // The end of the last read, because a parameter may be cut in two.
    let mut tail = Vec::new();
    while let Ok(len @ 1..) = client.read(&mut buffer) {
        tail.extend_from_slice(&buffer[..len]);
        if !gate.lock().expect("no panic").lets_pass(&part_numbers(&tail)) {
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
