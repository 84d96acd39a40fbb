//! A proxy that holds `HeadObject` requests back.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::relay::relay;

/// Passes everything on to a server, but holds `HeadObject` requests back until it is told to let
/// go.
pub(crate) struct HeldHeads {
    url: String,
    let_go: Arc<(Mutex<bool>, Condvar)>,
    held: Arc<AtomicUsize>,
}

impl HeldHeads {
    /// Starts to listen, and holds every `HeadObject` back.
    pub(crate) fn start(server: &str) -> Self {
        Self::after(0, server)
    }

    /// Starts to listen, and passes the first `count` requests on without delay.
    pub(crate) fn after(count: usize, server: &str) -> Self {
        let let_go = Arc::<(Mutex<bool>, Condvar)>::default();
        let (gate, seen) = (Arc::clone(&let_go), Arc::new(AtomicUsize::new(0)));
        let held = Arc::<AtomicUsize>::default();
        let holding = Arc::clone(&held);
        let is_held = move || {
            let is_held = seen.fetch_add(1, Ordering::Relaxed) >= count;
            holding.fetch_add(usize::from(is_held), Ordering::Relaxed);
            is_held
        };
        let url = relay(server, move |client, server| pass(client, server, &gate, &is_held));
        Self { url, let_go, held }
    }

    /// Returns its address.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// `true` once a request was held back.
    pub(crate) fn is_holding(&self) -> bool {
        self.held.load(Ordering::Relaxed) > 0
    }

    /// Passes the held requests on, and all later ones.
    pub(crate) fn let_go(&self) {
        *self.let_go.0.lock().expect("no panic") = true;
        self.let_go.1.notify_all();
    }
}

fn pass(
    mut client: TcpStream,
    mut server: TcpStream,
    (open, opened): &(Mutex<bool>, Condvar),
    is_held: &impl Fn() -> bool,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(len @ 1..) = client.read(&mut buffer) {
        // The SDK sends a request without a body as one piece.
        if buffer.starts_with(b"HEAD ") && is_held() {
            drop(
                opened.wait_while(open.lock().expect("no panic"), |open| !*open).expect("no panic"),
            );
        }
        if server.write_all(&buffer[..len]).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Write);
}
