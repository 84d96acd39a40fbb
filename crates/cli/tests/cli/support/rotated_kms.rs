//! KMS with rotated keys. LocalStack returns no key materials.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    thread,
};

use serde_json::{Value, json};

/// Answers `ReEncrypt`: data keys of tenant `old` are under the older material `a`, all others
/// under the current one, `b`.
pub(crate) struct RotatedKms {
    url: String,
}

impl RotatedKms {
    /// Starts the server.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                thread::spawn(move || serve(client));
            }
        });
        Self { url }
    }

    /// Returns its address.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

fn serve(mut client: TcpStream) {
    let mut requests = BufReader::new(client.try_clone().expect("cloned"));
    loop {
        let (mut line, mut len, mut is_re_encrypt) = (String::new(), 0, false);
        while requests.read_line(&mut line).is_ok_and(|read| read > "\r\n".len()) {
            let header = line.to_ascii_lowercase();
            is_re_encrypt |= header.trim_end().ends_with("trentservice.reencrypt");
            if let Some(value) = header.strip_prefix("content-length:") {
                len = value.trim().parse().expect("a length");
            }
            line.clear();
        }
        let mut body = vec![0; len];
        if len == 0 || requests.read_exact(&mut body).is_err() {
            return;
        }
        assert!(is_re_encrypt, "another call");
        let request: Value = serde_json::from_slice(&body).expect("JSON");
        let material =
            if request["SourceEncryptionContext"]["tenant"] == "old" { "a" } else { "b" };
        let answer = json!({
            "CiphertextBlob": "AAAA",
            "SourceKeyId": request["SourceKeyId"],
            "KeyId": request["DestinationKeyId"],
            "SourceKeyMaterialId": material,
            "DestinationKeyMaterialId": "b",
        })
        .to_string();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{answer}", answer.len());
        if client.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}
