//! Connections that never send a whole request, beside an honest client.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::worker::{Object, Soak, Worker};

/// Connections: half of them are silent, half send a byte of a header now and then.
const CONNECTIONS: usize = 2_000;
/// Duration.
const SPAN: Duration = Duration::from_secs(30);
/// Longest time that an honest client's request may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Holds idle connections, and demands that an honest client is served meanwhile.
pub(crate) async fn run(soak: &Arc<Soak>) {
    println!("{CONNECTIONS} idle connections for {} s", SPAN.as_secs());
    let until = Instant::now() + SPAN;
    let address = soak.url.trim_start_matches("http://").to_owned();
    let idle: Vec<_> = (0..CONNECTIONS)
        .map(|number| tokio::spawn(hold(address.clone(), number % 2 == 0, until)))
        .collect();
    // All of them are there.
    sleep(Duration::from_secs(3)).await;
    let mut worker = Worker::new(soak, u64::MAX);
    let key = format!("{}/honest", soak.prefix);
    let mut object = Object { key, may_be: vec![None] };
    while Instant::now() + PATIENCE < until {
        // Each time on a new connection, as it has to wait for a place.
        let version = worker.version(100_000);
        let begun = Instant::now();
        let honest = async {
            let stream = TcpStream::connect(&address).await.expect("connected");
            first_answer(stream).await;
            worker.put(&mut object, version).await;
            worker.get(&mut object, None).await;
        };
        if timeout(PATIENCE, honest).await.is_err() {
            let message = format!("idle connections kept an honest client out for {PATIENCE:?}");
            soak.counts.violation(message);
        }
        let took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        soak.counts.most("longest honest requests beside idle ones in ms", took);
        soak.counts.add("honest requests beside idle connections", 3);
        sleep(Duration::from_millis(200)).await;
    }
    for task in idle {
        let was_open = task.await.expect("it does not panic");
        soak.counts.add("idle connections", 1);
        soak.counts.add("idle connections that were dropped", u64::from(!was_open));
    }
}

/// Sends a request without a signature, and waits for its answer.
async fn first_answer(mut stream: TcpStream) {
    let request = b"GET / HTTP/1.1\r\nHost: soak\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    assert!(answer.starts_with(b"HTTP/1.1 403"), "{}", String::from_utf8_lossy(&answer));
}

/// Holds a connection, which is opened again when it is dropped. `true` if it never was.
async fn hold(address: String, is_silent: bool, until: Instant) -> bool {
    let mut was_open = true;
    while Instant::now() < until {
        let Ok(mut stream) = TcpStream::connect(&address).await else {
            sleep(Duration::from_millis(500)).await;
            continue;
        };
        if !is_silent {
            let begin = b"GET / HTTP/1.1\r\nHost: soak\r\nX-Slow: ";
            let _ = stream.write_all(begin).await;
        }
        let mut byte = [0];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let pause = left.min(Duration::from_secs(2));
            match timeout(pause, stream.read(&mut byte)).await {
                // It was dropped.
                Ok(_) => break,
                Err(_) if left.is_zero() => return was_open,
                Err(_) if !is_silent && stream.write_all(b"x").await.is_err() => break,
                Err(_) => {}
            }
        }
        was_open = false;
        sleep(Duration::from_millis(500)).await;
    }
    was_open
}
