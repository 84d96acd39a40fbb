//! The calls of a command to S3 and KMS, one of which can be disturbed.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::Command,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
};

/// Disturbance at a call.
pub(super) enum Disturbance {
    /// The process is killed: before the call, or after the server has carried it out.
    Kill { arrives: bool },
    /// The server carries it out, and its answer is lost.
    LoseAnswer,
    /// S3 or KMS says that it is busy, this many times in a row.
    Busy { times: usize },
    /// Somebody else does something right before the call.
    Change(Box<dyn FnOnce() + Send>),
}

#[derive(Default)]
struct State {
    /// The disturbance, and the number of the call that it happens at.
    next: Option<(usize, Disturbance)>,
    calls: usize,
    /// The servers are busy for this many more calls.
    busy: usize,
    /// Calls that are being served.
    active: usize,
    process: Option<u32>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state());
        self.changed.notify_all();
        result
    }

    /// Waits until `ready` returns a value.
    fn wait<T>(&self, mut ready: impl FnMut(&State) -> Option<T>) -> T {
        let mut state = self.state();
        loop {
            if let Some(value) = ready(&state) {
                return value;
            }
            state = self.changed.wait(state).expect("no panic");
        }
    }
}

/// Stands between the commands and their servers. Each connection serves one request.
pub(super) struct Calls {
    shared: Arc<Shared>,
    pub(super) s3: String,
    pub(super) kms: String,
}

impl Calls {
    pub(super) fn new(s3: &str, kms: &str) -> Self {
        let shared = Arc::default();
        Self { s3: listen(s3, &shared), kms: listen(kms, &shared), shared }
    }

    /// Disturbs a call of the next command, counted from 0.
    pub(super) fn disturb(&self, next: Option<(usize, Disturbance)>) {
        self.shared.change(|state| *state = State { next, ..State::default() });
    }

    /// Tells the process of the command.
    pub(super) fn are_of(&self, process: u32) {
        self.shared.change(|state| state.process = Some(process));
    }

    /// Waits for the calls of a command that has ended. Returns `true` if one was disturbed.
    pub(super) fn end(&self) -> bool {
        self.shared.wait(|state| (state.active == 0).then_some(()));
        self.shared.state().next.is_none()
    }
}

fn listen(server: &str, shared: &Arc<Shared>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let upstream = server.strip_prefix("http://").expect("an http URL").to_owned();
    let shared = Arc::clone(shared);
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let (shared, upstream) = (Arc::clone(&shared), upstream.clone());
            thread::spawn(move || {
                shared.change(|state| state.active += 1);
                serve(client, &upstream, &shared);
                shared.change(|state| state.active -= 1);
            });
        }
    });
    url
}

/// Reads a head up to its empty line, with `connection: close`; returns the length of its body.
fn head(from: &mut BufReader<TcpStream>) -> Option<(Vec<u8>, usize)> {
    let (mut head, mut len) = (Vec::new(), 0);
    loop {
        let mut line = Vec::new();
        from.read_until(b'\n', &mut line).ok().filter(|read| *read > 0)?;
        let text = String::from_utf8_lossy(&line).to_ascii_lowercase();
        if let Some(value) = text.strip_prefix("content-length:") {
            len = value.trim().parse().ok()?;
        }
        if line == b"\r\n" {
            head.extend_from_slice(b"connection: close\r\n\r\n");
            return Some((head, len));
        }
        if !text.starts_with("connection:") {
            head.extend(line);
        }
    }
}

fn serve(client: TcpStream, upstream: &str, shared: &Shared) {
    let mut client = BufReader::new(client);
    let Some((mut request, len)) = head(&mut client) else { return };
    let mut body = vec![0; len];
    if client.read_exact(&mut body).is_err() {
        return;
    }
    request.extend(body);
    let mut client = client.into_inner();
    let disturbance = shared.change(|state| {
        if let Some(left) = state.busy.checked_sub(1) {
            state.busy = left;
            return Some(Disturbance::Busy { times: 0 });
        }
        let is_it = state.next.as_ref().is_some_and(|(at, _)| *at == state.calls);
        state.calls += 1;
        let disturbance = if is_it { state.next.take().map(|(_, it)| it) } else { None };
        if let Some(Disturbance::Busy { times }) = disturbance {
            state.busy = times;
        }
        disturbance
    });
    match disturbance {
        None => {}
        Some(Disturbance::Change(change)) => change(),
        Some(Disturbance::Busy { .. }) => {
            let busy = b"HTTP/1.1 503 Slow Down\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            let _ = client.write_all(busy);
            return;
        }
        Some(Disturbance::LoseAnswer) => {
            let _ = answer(upstream, &request);
            return;
        }
        Some(Disturbance::Kill { arrives }) => {
            if arrives {
                let _ = answer(upstream, &request);
            }
            let process = shared.wait(|state| state.process).to_string();
            let _ = Command::new("kill").args(["-s", "KILL", &process]).status();
            return;
        }
    }
    if let Some(answer) = answer(upstream, &request) {
        let _ = client.write_all(&answer);
    }
}

/// Returns the server's whole answer.
fn answer(upstream: &str, request: &[u8]) -> Option<Vec<u8>> {
    let mut server = TcpStream::connect(upstream).ok()?;
    server.write_all(request).ok()?;
    let mut server = BufReader::new(server);
    let (mut answer, _) = head(&mut server)?;
    server.read_to_end(&mut answer).ok()?;
    Some(answer)
}
