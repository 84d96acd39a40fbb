//! Null servers as processes, and their counts.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::Result;

/// Running server, killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    process: Child,
    address: String,
    pub(crate) endpoint: String,
    /// The same server over TLS.
    pub(crate) secure_endpoint: String,
    pub(crate) latency_ms: u64,
}

/// Counts of a server by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts(BTreeMap<String, u64>);

impl Server {
    /// Starts a server that keeps its objects in `store`.
    pub(crate) fn start(store: &Path, latency_ms: u64) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("serve").arg(store).arg(latency_ms.to_string());
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut ports = String::new();
        BufReader::new(process.stdout.take().expect("piped")).read_line(&mut ports)?;
        let (plain, secure) = ports.trim().split_once(' ').ok_or("the null server has no ports")?;
        let address = format!("127.0.0.1:{plain}");
        Ok(Self {
            process,
            endpoint: format!("http://{address}"),
            secure_endpoint: format!("https://127.0.0.1:{secure}"),
            address,
            latency_ms,
        })
    }

    /// Returns all counts so far.
    pub(crate) fn counts(&self) -> Result<Counts> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.write_all(b"GET /-/stats HTTP/1.1\r\n\r\n")?;
        stream.shutdown(std::net::Shutdown::Write)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (_, body) = answer.split_once("\r\n\r\n").ok_or("the null server gave no answer")?;
        Ok(Counts(serde_json::from_str(body)?))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The server has nothing to finish.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Counts {
    pub(crate) fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// Returns the differences since `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let since = |(name, count): (&String, &u64)| (name.clone(), count - earlier.get(name));
        Self(self.0.iter().map(since).filter(|(_, count)| *count > 0).collect())
    }

    /// Returns the counts of requests by operation.
    pub(crate) fn requests(&self) -> impl Iterator<Item = (&str, u64)> {
        let names_operation =
            |name: &str| name.starts_with(|first: char| first.is_ascii_uppercase());
        self.0
            .iter()
            .map(|(name, count)| (name.as_str(), *count))
            .filter(move |(name, _)| names_operation(name))
    }
}
