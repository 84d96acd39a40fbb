//! Lines that are slower than a command would like.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use tokio::{net::TcpSocket, runtime::Runtime};

use super::relay::relay_at;

/// Starts a relay whose connections share a line of this many bytes a second towards the server, and
/// returns its address.
pub(crate) fn slow_line(server: &str, bytes_per_second: u32) -> String {
    let free = Arc::new(Mutex::new(Instant::now()));
    relay_at(with_small_buffers(), server, move |mut client: TcpStream, mut server: TcpStream| {
        let mut buffer = vec![0; 16 << 10];
        while let Ok(len @ 1..) = client.read(&mut buffer) {
            let turn = {
                let mut free = free.lock().expect("no panic");
                *free = (*free).max(Instant::now())
                    + Duration::from_secs(1) * len as u32 / bytes_per_second;
                *free
            };
            thread::sleep(turn.saturating_duration_since(Instant::now()));
            if server.write_all(&buffer[..len]).is_err() {
                break;
            }
        }
        let _ = server.shutdown(Shutdown::Write);
    })
}

/// Returns a listener whose connections hold few bytes that were not read: those of a real line are
/// behind it.
fn with_small_buffers() -> TcpListener {
    let listen = async {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(64 << 10)?;
        socket.bind("127.0.0.1:0".parse().expect("an address"))?;
        socket.listen(128)?.into_std()
    };
    let listener = Runtime::new().expect("a runtime").block_on(listen).expect("a free port");
    listener.set_nonblocking(false).expect("it blocks");
    listener
}
