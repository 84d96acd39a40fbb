//! Lines and servers that are slower than a command would like.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
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

/// A server that throttles half of all requests, and passes the others on.
pub(crate) struct Throttling {
    pub(crate) url: String,
    throttled: Arc<AtomicU64>,
}

impl Throttling {
    pub(crate) fn start(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let upstream = server.strip_prefix("http://").expect("an http URL").to_owned();
        let (requests, throttled) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let counted = Arc::clone(&throttled);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (upstream, requests) = (upstream.clone(), Arc::clone(&requests));
                let throttled = Arc::clone(&counted);
                thread::spawn(move || {
                    let refuse = is_in_half(requests.fetch_add(1, Ordering::Relaxed));
                    throttled.fetch_add(u64::from(refuse), Ordering::Relaxed);
                    // The client may close the connection at any time.
                    drop(serve(&client, &upstream, refuse));
                    drop(client.shutdown(Shutdown::Both));
                });
            }
        });
        Self { url, throttled }
    }

    /// Returns the number of throttled requests.
    pub(crate) fn throttled(&self) -> u64 {
        self.throttled.load(Ordering::Relaxed)
    }
}

/// `true` for half of all numbers, without a pattern.
fn is_in_half(number: u64) -> bool {
    let mixed = (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed ^ (mixed >> 31)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 63 == 1
}

/// Serves one request, and ends the connection.
fn serve(mut client: &TcpStream, upstream: &str, refuse: bool) -> std::io::Result<()> {
    let mut reader = BufReader::new(client);
    let (mut head, mut body_len, mut is_head) = (String::new(), 0, false);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        is_head |= line.starts_with("HEAD ");
        if let Some(len) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            body_len = len.trim().parse().expect("a length");
        }
        if line.trim().is_empty() {
            break;
        }
        head.push_str(&line);
    }
    let mut body = reader.by_ref().take(body_len);
    if refuse {
        std::io::copy(&mut body, &mut std::io::sink())?;
        let error = if is_head { "" } else { "<Error><Code>SlowDown</Code></Error>" };
        let len = error.len();
        return write!(
            client,
            "HTTP/1.1 503 x\r\nconnection: close\r\ncontent-length: {len}\r\n\r\n{error}"
        );
    }
    let mut server = TcpStream::connect(upstream)?;
    write!(server, "{head}connection: close\r\n\r\n")?;
    std::io::copy(&mut body, &mut server)?;
    std::io::copy(&mut server, &mut client).map(drop)
}
