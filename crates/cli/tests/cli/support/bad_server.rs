//! A server that answers as no service should, or never.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

/// Behaviour of a [`BadServer`].
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// Reads requests and never answers.
    Silent,
    /// Does not read the bodies of requests, and never answers.
    Deaf,
    /// Sends the headers of this status, and a byte each 10 ms for ever.
    Trickles(u16),
    /// Sends the headers of this status, this beginning, and blanks for ever, as fast as it can.
    Endless(u16, &'static str),
    /// Sends an error with a code of this length.
    LongCode(usize),
    /// Denies everything, without a body and on this date.
    DeniesOn(&'static str),
}

/// A server with one [`Fault`].
#[derive(Debug)]
pub(crate) struct BadServer {
    pub(crate) url: String,
    requests: Arc<AtomicUsize>,
}

impl BadServer {
    pub(crate) fn start(fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let requests = Arc::clone(&counted);
                // The client may close the connection at any time.
                thread::spawn(move || drop(serve(&client, fault, &requests)));
            }
        });
        Self { url, requests }
    }

    /// Returns the number of requests so far.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

fn serve(mut client: &TcpStream, fault: Fault, requests: &AtomicUsize) -> std::io::Result<()> {
    let mut reader = BufReader::new(client);
    loop {
        let mut body_len = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let header = line.to_ascii_lowercase();
            if let Some(len) = header.strip_prefix("content-length:") {
                body_len = len.trim().parse().expect("a length");
            }
            if line.trim().is_empty() {
                break;
            }
        }
        requests.fetch_add(1, Ordering::Relaxed);
        if !matches!(fault, Fault::Deaf) {
            std::io::copy(&mut reader.by_ref().take(body_len), &mut std::io::sink())?;
        }
        match fault {
            Fault::Silent | Fault::Deaf => loop {
                thread::park();
            },
            Fault::Trickles(status) => {
                write!(client, "HTTP/1.1 {status} x\r\ncontent-length: 1000000\r\n\r\n")?;
                loop {
                    client.write_all(b" ")?;
                    thread::sleep(Duration::from_millis(10));
                }
            }
            Fault::Endless(status, start) => {
                write!(client, "HTTP/1.1 {status} x\r\n\r\n{start}")?;
                loop {
                    client.write_all(&[b' '; 1 << 16])?;
                }
            }
            Fault::DeniesOn(date) => {
                write!(client, "HTTP/1.1 403 x\r\ndate: {date}\r\ncontent-length: 0\r\n\r\n")?;
            }
            Fault::LongCode(len) => {
                let code = "x".repeat(len);
                let body = format!("<Error><Code>{code}</Code><Message>{code}</Message></Error>");
                write!(client, "HTTP/1.1 400 x\r\ncontent-length: {}\r\n\r\n{body}", body.len())?;
            }
        }
    }
}
