//! Proxy that holds back `HeadObject` requests.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    sync::{Arc, Condvar, Mutex},
};

use super::relay::relay;

/// Forwards everything to a server, but `HeadObject` requests only after their release.
pub(crate) struct HeldHeads {
    url: String,
    let_go: Arc<(Mutex<bool>, Condvar)>,
}

impl HeldHeads {
    /// Starts the proxy.
    pub(crate) fn start(server: &str) -> Self {
        let let_go = Arc::<(Mutex<bool>, Condvar)>::default();
        let gate = Arc::clone(&let_go);
        Self { url: relay(server, move |client, server| pass(client, server, &gate)), let_go }
    }

    /// Returns its address.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Releases them.
    pub(crate) fn let_go(&self) {
        *self.let_go.0.lock().expect("no panic") = true;
        self.let_go.1.notify_all();
    }
}

fn pass(mut client: TcpStream, mut server: TcpStream, (open, opened): &(Mutex<bool>, Condvar)) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(len @ 1..) = client.read(&mut buffer) {
        // The SDK sends a request without a body as one piece.
        if buffer.starts_with(b"HEAD ") {
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
