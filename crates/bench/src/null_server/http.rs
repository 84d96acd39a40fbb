//! Subset of HTTP/1.1 that S3 clients use.

use std::{
    fs::File,
    io::{self, Read, Seek as _, SeekFrom, Write},
    net::TcpStream,
    ops::Range,
    os::fd::{AsFd as _, AsRawFd as _},
    sync::Arc,
    time::SystemTime,
};

use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use nix::sys::{
    sendfile::sendfile,
    socket::{MsgFlags, recv},
};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

const BUFFER_LEN: usize = 1 << 20;

/// Bytes from and to a client.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

/// Connection, and its received but unused bytes.
pub(super) struct Connection {
    stream: Stream,
    buffer: Vec<u8>,
    unused: Range<usize>,
}

/// Head of a request.
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    headers: Vec<(String, String)>,
}

/// Response.
pub(super) struct Answer {
    pub(super) status: u16,
    /// Header lines that end with CR LF.
    pub(super) headers: String,
    pub(super) body: Body,
}

pub(super) enum Body {
    Text(String),
    /// Range of a file.
    File(File, Range<u64>),
    /// Body length of a response to HEAD, without the body.
    Unsent(u64),
}

impl Request {
    fn parse(head: &[u8]) -> Option<Self> {
        let head = str::from_utf8(head).ok()?;
        let mut lines = head.split("\r\n");
        let mut words = lines.next()?.split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers = headers
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Some(Self { method, path: path.to_owned(), query: query.to_owned(), headers })
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Returns the lower-case names and the values.
    pub(super) fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Returns the value of a query parameter; empty if it has none.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let pairs = self.query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.into_iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// `true` if the body is in chunks, and its length unknown.
    pub(super) fn is_chunked(&self) -> bool {
        self.header("transfer-encoding").is_some()
    }

    /// Returns the encoded length of the body.
    pub(super) fn body_len(&self) -> io::Result<u64> {
        if self.is_chunked() {
            return Err(io::Error::other("bodies of unknown length are not served"));
        }
        Ok(self.header("content-length").and_then(|len| len.parse().ok()).unwrap_or_default())
    }
}

impl Answer {
    pub(super) fn ok(content_type: &str, body: String) -> Self {
        Self {
            status: 200,
            headers: format!("content-type: {content_type}\r\n"),
            body: Body::Text(body),
        }
    }

    /// Returns a response with these headers and no body.
    pub(super) fn empty(status: u16, headers: String) -> Self {
        Self { status, headers, body: Body::Text(String::new()) }
    }

    pub(super) fn error(status: u16, code: &str) -> Self {
        let body = format!("<Error><Code>{code}</Code><Message>{code}</Message></Error>");
        Self { status, ..Self::ok("application/xml", body) }
    }
}

impl Stream {
    pub(super) fn secure(stream: TcpStream, config: &Arc<ServerConfig>) -> io::Result<Self> {
        let connection = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
        Ok(Self::Tls(Box::new(StreamOwned::new(connection, stream))))
    }

    /// Sends bytes of `file`, in the kernel if possible.
    fn send_file(&mut self, file: &File, range: Range<u64>) -> io::Result<()> {
        let stream = match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => {
                let mut file = file;
                file.seek(SeekFrom::Start(range.start))?;
                return io::copy(&mut file.take(range.end - range.start), stream).map(drop);
            }
        };
        let mut offset = range.start.try_into().map_err(io::Error::other)?;
        let mut left = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
        while left > 0 {
            left -= received(sendfile(stream.as_fd(), file.as_fd(), Some(&mut offset), left)?)?;
        }
        Ok(())
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

impl Connection {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, buffer: vec![0; BUFFER_LEN], unused: 0..0 }
    }

    /// Reads the next request's head; `None` at the end of the connection.
    pub(super) fn next_request(&mut self) -> io::Result<Option<Request>> {
        // Move the unused bytes to the front, to make room.
        self.buffer.copy_within(self.unused.clone(), 0);
        self.unused = 0..self.unused.len();
        loop {
            let received = &self.buffer[..self.unused.end];
            if let Some(len) = received.windows(4).position(|window| window == b"\r\n\r\n") {
                let request = Request::parse(&received[..len]);
                self.unused.start = len + 4;
                let request = request.ok_or_else(|| io::Error::other("not an HTTP request"))?;
                if request.header("expect").is_some() {
                    self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
                }
                return Ok(Some(request));
            }
            // Read little of the body with the head, because the rest can be discarded in the
            // kernel.
            let room = self.unused.end..(self.unused.end + 4096).min(BUFFER_LEN);
            match self.stream.read(&mut self.buffer[room])? {
                0 => return Ok(None),
                read => self.unused.end += read,
            }
        }
    }

    /// Reads `len` bytes of a body and discards them.
    pub(super) fn discard(&mut self, mut len: u64) -> io::Result<()> {
        len -= self.take_unused(len).len() as u64;
        while len > 0 {
            let wanted = usize::try_from(len).unwrap_or(usize::MAX).min(BUFFER_LEN);
            let buffer = &mut self.buffer[..wanted];
            // On a TCP socket this flag discards the bytes without a copy. (tcp(7), "MSG_TRUNC".)
            let flags = MsgFlags::MSG_TRUNC | MsgFlags::MSG_WAITALL;
            let read = match &mut self.stream {
                Stream::Plain(stream) => recv(stream.as_raw_fd(), buffer, flags)?,
                Stream::Tls(stream) => stream.read(buffer)?,
            };
            len -= received(read)? as u64;
        }
        Ok(())
    }

    /// Reads a body in chunks and discards it. Returns the length of the chunks in bytes.
    /// (RFC 9112 §7.1.)
    pub(super) fn discard_chunks(&mut self) -> io::Result<u64> {
        let mut len = 0;
        loop {
            let line = self.line()?;
            let chunk = line.split(';').next().unwrap_or_default().trim();
            match u64::from_str_radix(chunk, 16).map_err(io::Error::other)? {
                0 => break,
                chunk => {
                    self.discard(chunk + 2)?;
                    len += chunk;
                }
            }
        }
        // The trailer.
        while !self.line()?.is_empty() {}
        Ok(len)
    }

    /// Reads a line, without its end.
    fn line(&mut self) -> io::Result<String> {
        loop {
            let arrived = &self.buffer[self.unused.clone()];
            if let Some(len) = arrived.windows(2).position(|window| window == b"\r\n") {
                let line = String::from_utf8_lossy(&arrived[..len]).into_owned();
                self.unused.start += len + 2;
                return Ok(line);
            }
            self.buffer.copy_within(self.unused.clone(), 0);
            self.unused = 0..self.unused.len();
            let room = self.unused.end..(self.unused.end + 4096).min(BUFFER_LEN);
            self.unused.end += received(self.stream.read(&mut self.buffer[room])?)?;
        }
    }

    /// Reads `len` bytes of a body and appends them to `file`.
    pub(super) fn save(&mut self, mut len: u64, file: &mut File) -> io::Result<()> {
        let unused = self.take_unused(len);
        file.write_all(&self.buffer[unused.clone()])?;
        len -= unused.len() as u64;
        while len > 0 {
            let wanted = usize::try_from(len).unwrap_or(usize::MAX).min(BUFFER_LEN);
            let read = received(self.stream.read(&mut self.buffer[..wanted])?)?;
            file.write_all(&self.buffer[..read])?;
            len -= read as u64;
        }
        Ok(())
    }

    /// Reads a short body.
    pub(super) fn body(&mut self, len: u64) -> io::Result<Vec<u8>> {
        let unused = self.take_unused(len);
        let mut body = self.buffer[unused].to_vec();
        let rest = len - body.len() as u64;
        (&mut self.stream).take(rest).read_to_end(&mut body)?;
        Ok(body)
    }

    /// Takes up to `len` already received bytes.
    fn take_unused(&mut self, len: u64) -> Range<usize> {
        let start = self.unused.start;
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(self.unused.len());
        self.unused.start += len;
        start..start + len
    }

    pub(super) fn send(&mut self, request: &Request, answer: Answer) -> io::Result<()> {
        let Answer { status, headers, body } = answer;
        let len = match &body {
            Body::Text(text) => text.len() as u64,
            Body::File(_, range) => range.end - range.start,
            Body::Unsent(len) => *len,
        };
        // Without a time and this name, it would be another store, of which Sealwax asks more often.
        let now = DateTime::from(SystemTime::now()).fmt(DateTimeFormat::HttpDate);
        let now = now.map_err(io::Error::other)?;
        let mut head = format!(
            "HTTP/1.1 {status} X\r\nserver: AmazonS3\r\ndate: {now}\r\nx-amz-request-id: 0\r\n\
             content-length: {len}\r\n{headers}\r\n"
        );
        if request.method == "HEAD" {
            self.stream.write_all(head.as_bytes())?;
            return self.stream.flush();
        }
        match body {
            Body::Text(text) => {
                head.push_str(&text);
                self.stream.write_all(head.as_bytes())?;
            }
            Body::File(file, range) => {
                self.stream.write_all(head.as_bytes())?;
                self.stream.send_file(&file, range)?;
            }
            Body::Unsent(_) => return Err(io::Error::other("there is no body to send")),
        }
        self.stream.flush()
    }
}

/// Returns an error for 0 bytes: the end of the connection or of the file.
fn received(len: usize) -> io::Result<usize> {
    if len == 0 { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(len) }
}
