//! Server that records which services are called at it.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    sync::mpsc,
    thread,
};

/// Refuses every request, and records its service by its signature. Also a proxy: then it records
/// what would have gone to other machines over plain HTTP.
pub(crate) struct Recorder {
    url: String,
    called: mpsc::Receiver<String>,
    /// The requests: their heads in lower case, and their bodies.
    requests: mpsc::Receiver<String>,
}

impl Recorder {
    /// Starts the server.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (sender, called) = mpsc::channel();
        let (to_requests, requests) = mpsc::channel();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let mut client = BufReader::new(client);
                let (mut service, mut len, mut line) = (None, 0, String::new());
                let mut head = String::new();
                while client.read_line(&mut line).is_ok_and(|read| read > "\r\n".len()) {
                    head.push_str(&line.to_ascii_lowercase());
                    let (name, value) = line.trim_end().split_once(": ").unwrap_or_default();
                    match name.to_ascii_lowercase().as_str() {
                        // Credential=ID/DATE/REGION/SERVICE/aws4_request
                        "authorization" => {
                            service = value.split('/').nth(3).map(str::to_owned);
                        }
                        "content-length" => len = value.parse().expect("a length"),
                        _ => {}
                    }
                    line.clear();
                }
                let mut body = vec![0; len];
                client.read_exact(&mut body).expect("a body");
                let _ = to_requests.send(format!("{head}{}", String::from_utf8_lossy(&body)));
                let unsigned = || format!("unsigned {}", String::from_utf8_lossy(&body));
                let _ = sender.send(service.unwrap_or_else(unsigned));
                let answer = "HTTP/1.1 403 -\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                let _ = client.get_mut().write_all(answer.as_bytes());
            }
        });
        Self { url, called, requests }
    }

    /// Returns its address.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Returns the requests since the last time: their heads in lower case, and their bodies.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.try_iter().collect()
    }

    /// Returns the services that were called since the last time.
    pub(crate) fn called(&self) -> Vec<String> {
        self.called.try_iter().collect()
    }
}
