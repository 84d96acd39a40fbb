//! Subset of HTTP/1.1 that S3 clients use.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    net::TcpStream,
    ops::Range,
    os::fd::{AsFd as _, AsRawFd as _},
    time::SystemTime,
};

use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use nix::sys::{
    sendfile::sendfile,
    socket::{MsgFlags, recv},
};

const BUFFER_LEN: usize = 1 << 20;

/// Connection, and its received but unused bytes.
pub(super) struct Connection {
    stream: TcpStream,
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

    /// Returns the encoded length of the body.
    pub(super) fn body_len(&self) -> io::Result<u64> {
        if self.header("transfer-encoding").is_some() {
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

impl Connection {
    pub(super) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; BUFFER_LEN], unused: 0..0 })
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
            // On a TCP socket this flag discards the bytes without a copy. (tcp(7), "MSG_TRUNC".)
            let flags = MsgFlags::MSG_TRUNC | MsgFlags::MSG_WAITALL;
            len -=
                received(recv(self.stream.as_raw_fd(), &mut self.buffer[..wanted], flags)?)? as u64;
        }
        Ok(())
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
        (&self.stream).take(rest).read_to_end(&mut body)?;
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
        // Without a time and this name, it would be another store, which is looked at more often.
        let now = DateTime::from(SystemTime::now()).fmt(DateTimeFormat::HttpDate);
        let now = now.map_err(io::Error::other)?;
        let mut head = format!(
            "HTTP/1.1 {status} X\r\nserver: AmazonS3\r\ndate: {now}\r\nx-amz-request-id: 0\r\n\
             content-length: {len}\r\n{headers}\r\n"
        );
        if request.method == "HEAD" {
            return self.stream.write_all(head.as_bytes());
        }
        match body {
            Body::Text(text) => {
                head.push_str(&text);
                self.stream.write_all(head.as_bytes())
            }
            Body::File(file, range) => {
                self.stream.write_all(head.as_bytes())?;
                let mut offset = range.start.try_into().map_err(io::Error::other)?;
                let mut left = usize::try_from(len).map_err(io::Error::other)?;
                while left > 0 {
                    left -= received(sendfile(
                        self.stream.as_fd(),
                        file.as_fd(),
                        Some(&mut offset),
                        left,
                    )?)?;
                }
                Ok(())
            }
            Body::Unsent(_) => Err(io::Error::other("there is no body to send")),
        }
    }
}

/// Returns an error for 0 bytes: the end of the connection or of the file.
fn received(len: usize) -> io::Result<usize> {
    if len == 0 { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(len) }
}
