//! A server that refuses some requests.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

/// Answer to a refused request: status and error code.
type Refusal = (u16, &'static str);

/// A server that refuses some requests, by their number from 0 and their first line, and passes the
/// others on.
pub(crate) struct Refusing {
    pub(crate) url: String,
    refused: Arc<AtomicU64>,
}

impl Refusing {
    /// Throttles half of all requests.
    pub(crate) fn half_throttled(server: &str) -> Self {
        Self::start(server, |number, _| is_in_half(number).then_some((503, "SlowDown")))
    }

    /// Answers from request number `first` on as AWS does when the credentials have expired.
    pub(crate) fn expired_from(first: u64, server: &str) -> Self {
        Self::start(server, move |number, _| (number >= first).then_some((400, "ExpiredToken")))
    }

    /// Gives the answer of `refuses` to requests, by their first line.
    pub(crate) fn by_line(
        server: &str,
        refuses: impl Fn(&str) -> Option<Refusal> + Clone + Send + 'static,
    ) -> Self {
        Self::start(server, move |_, line| refuses(line))
    }

    /// Answers deletions of keys that end in `suffix` with success, and does not make them. Has no
    /// deletions of many objects at once.
    pub(crate) fn keeping(suffix: &'static str, server: &str) -> Self {
        Self::start(server, move |_, line| {
            if line.starts_with("POST ") && line.contains("?delete") {
                return Some((501, "NotImplemented"));
            }
            let path = line.strip_prefix("DELETE ")?.split(['?', ' ']).next()?;
            path.ends_with(suffix).then_some((204, ""))
        })
    }

    /// Refuses nothing, and lists empty objects with a length, as stores on a file system list folders.
    pub(crate) fn listing_empty_objects_with_a_length(server: &str) -> Self {
        Self::rewriting(server, |_, _| None, |answer| answer.replace("<Size>0<", "<Size>4<"))
    }

    fn start(
        server: &str,
        refuses: impl Fn(u64, &str) -> Option<Refusal> + Clone + Send + 'static,
    ) -> Self {
        Self::rewriting(server, refuses, |answer| answer)
    }

    /// Rewrites answers that are text, and keeps their length.
    fn rewriting(
        server: &str,
        refuses: impl Fn(u64, &str) -> Option<Refusal> + Clone + Send + 'static,
        rewrite: impl Fn(String) -> String + Clone + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let upstream = server.strip_prefix("http://").expect("an http URL").to_owned();
        let (requests, refused) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let counted = Arc::clone(&refused);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (upstream, requests) = (upstream.clone(), Arc::clone(&requests));
                let (refused, refuses) = (Arc::clone(&counted), refuses.clone());
                let rewrite = rewrite.clone();
                thread::spawn(move || {
                    let number = requests.fetch_add(1, Ordering::Relaxed);
                    let refuse = |line: &str| {
                        let refusal = refuses(number, line);
                        refused.fetch_add(u64::from(refusal.is_some()), Ordering::Relaxed);
                        refusal
                    };
                    // The client may close the connection at any time.
                    drop(serve(&client, &upstream, refuse, rewrite));
                    drop(client.shutdown(Shutdown::Both));
                });
            }
        });
        Self { url, refused }
    }

    /// Returns the number of refused requests.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// `true` for half of all numbers, without a pattern.
fn is_in_half(number: u64) -> bool {
    let mixed = (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed ^ (mixed >> 31)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 63 == 1
}

/// Serves one request, and ends the connection.
fn serve(
    mut client: &TcpStream,
    upstream: &str,
    refuse: impl FnOnce(&str) -> Option<Refusal>,
    rewrite: impl Fn(String) -> String,
) -> std::io::Result<()> {
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
    if let Some((status, code)) = refuse(&head) {
        std::io::copy(&mut body, &mut std::io::sink())?;
        // An answer to HEAD has no body.
        let error = match is_head || code.is_empty() {
            true => String::new(),
            false => format!("<Error><Code>{code}</Code></Error>"),
        };
        let len = error.len();
        return write!(
            client,
            "HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: {len}\r\n\r\n{error}"
        );
    }
    let mut server = TcpStream::connect(upstream)?;
    write!(server, "{head}connection: close\r\n\r\n")?;
    std::io::copy(&mut body, &mut server)?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    match String::from_utf8(answer) {
        Ok(text) => client.write_all(rewrite(text).as_bytes()),
        Err(error) => client.write_all(error.as_bytes()),
    }
}
