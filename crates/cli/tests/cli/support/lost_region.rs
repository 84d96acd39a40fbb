//! A proxy behind which a Region is gone.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
};

/// Passes everything on to a server, but what is signed for one Region: then it breaks the connection.
pub(crate) struct LostRegion {
    url: String,
}

impl LostRegion {
    /// Begins to listen.
    pub(crate) fn start(server: &str, region: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let upstream = server.strip_prefix("http://").expect("an http URL").to_owned();
        // As in `Credential=ID/DATE/REGION/SERVICE/aws4_request`.
        let scope = format!("/{region}/");
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(&upstream) else { return };
                let (mut back, mut answers) =
                    (client.try_clone().expect("cloned"), server.try_clone().expect("cloned"));
                thread::spawn(move || std::io::copy(&mut answers, &mut back));
                let scope = scope.clone();
                thread::spawn(move || pass(client, server, scope.as_bytes()));
            }
        });
        Self { url }
    }

    /// Its address.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

fn pass(mut client: TcpStream, mut server: TcpStream, scope: &[u8]) {
    let mut buffer = vec![0; 64 * 1024];
    // The end of what was read last: the scope may be cut in two.
    let mut tail = Vec::new();
    while let Ok(len @ 1..) = client.read(&mut buffer) {
        tail.extend_from_slice(&buffer[..len]);
        if tail.windows(scope.len()).any(|window| window == scope) {
            let _ = client.shutdown(Shutdown::Both);
            break;
        }
        tail.drain(..tail.len().saturating_sub(scope.len()));
        if server.write_all(&buffer[..len]).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Both);
}
