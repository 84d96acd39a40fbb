//! Null server for S3, KMS and STS on the loopback interface, which costs far less than any client. It
//! has a port for plain HTTP and one for TLS.
//!
//! Uploads to the bucket `null` are discarded in the kernel, without a copy to user space. Uploads
//! to the bucket `kept` are stored in files, and sent from there by `sendfile`. The server verifies
//! and authenticates nothing. Each connection has a thread.

mod aws_json;
mod generated_keys;
mod generated_objects;
mod http;
mod objects;
mod s3;
mod stats;
mod tls;

use std::{
    io::{self, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    process,
    sync::Arc,
    thread,
    time::Duration,
};

use self::{
    http::{Answer, Connection, Request, Stream},
    objects::Objects,
    stats::Stats,
};
pub(crate) use self::{objects::kept_file, tls::write_roots};
use crate::Result;

/// State that all connections share.
struct Server {
    latency: Duration,
    objects: Objects,
    stats: Stats,
}

/// Serves until standard input ends, which it does when the parent process exits.
///
/// Prints the ports for plain HTTP and for TLS first. Kept objects are in the directory `store`, which several servers can
/// share.
pub(crate) fn serve(store: &Path, latency_ms: u64) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let secure = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{} {}", listener.local_addr()?.port(), secure.local_addr()?.port());
    io::stdout().flush()?;
    let tls = tls::config()?;
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        process::exit(0);
    });
    let latency = Duration::from_millis(latency_ms);
    let server =
        Arc::new(Server { latency, objects: Objects::new(store), stats: Stats::default() });
    let for_tls = Arc::clone(&server);
    thread::spawn(move || for_tls.listen(&secure, |stream| Stream::secure(stream, &tls)));
    server.listen(&listener, |stream| Ok(Stream::Plain(stream)));
    Ok(())
}

impl Server {
    /// Answers connections, each in a thread.
    fn listen(
        self: &Arc<Self>,
        listener: &TcpListener,
        accept: impl Fn(TcpStream) -> io::Result<Stream>,
    ) {
        for stream in listener.incoming().map_while(std::result::Result::ok) {
            let opened = stream.set_nodelay(true).and_then(|()| accept(stream));
            let server = Arc::clone(self);
            thread::spawn(move || {
                if let Err(error) = opened.and_then(|stream| server.converse(stream))
                    && !matches!(
                        error.kind(),
                        io::ErrorKind::ConnectionReset
                            | io::ErrorKind::BrokenPipe
                            | io::ErrorKind::UnexpectedEof
                    )
                {
                    eprintln!("null server: {error}");
                }
            });
        }
    }

    fn converse(&self, stream: Stream) -> io::Result<()> {
        let mut connection = Connection::new(stream);
        while let Some(request) = connection.next_request()? {
            let answer = self.answer(&request, &mut connection)?;
            if !request.path.starts_with(stats::PATH) {
                thread::sleep(self.latency);
            }
            connection.send(&request, answer)?;
        }
        Ok(())
    }

    /// Reads the request's body and returns the response.
    fn answer(&self, request: &Request, connection: &mut Connection) -> io::Result<Answer> {
        if request.path.starts_with(stats::PATH) {
            return Ok(Answer::ok("application/json", self.stats.to_json()?));
        }
        if request.path == "/" && request.method == "POST" {
            return aws_json::answer(request, connection, &self.stats);
        }
        s3::answer(request, connection, &self.objects, &self.stats)
    }
}
