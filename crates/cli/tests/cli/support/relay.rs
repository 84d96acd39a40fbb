//! Relay between the command and a server.

use std::{
    net::{TcpListener, TcpStream},
    thread,
};

/// Starts a relay to `server`, and returns its address.
///
/// `pass` forwards requests, in a thread per connection. Responses are forwarded unchanged.
pub(super) fn relay(
    server: &str,
    pass: impl Fn(TcpStream, TcpStream) + Clone + Send + 'static,
) -> String {
    relay_at(TcpListener::bind("127.0.0.1:0").expect("a free port"), server, pass)
}

/// Starts a relay at this listener.
pub(super) fn relay_at(
    listener: TcpListener,
    server: &str,
    pass: impl Fn(TcpStream, TcpStream) + Clone + Send + 'static,
) -> String {
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let upstream = server.strip_prefix("http://").expect("an http URL").to_owned();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(server) = TcpStream::connect(&upstream) else { return };
            let (mut back, mut answers) =
                (client.try_clone().expect("cloned"), server.try_clone().expect("cloned"));
            thread::spawn(move || std::io::copy(&mut answers, &mut back));
            let pass = pass.clone();
            thread::spawn(move || pass(client, server));
        }
    });
    url
}
