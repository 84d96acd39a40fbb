//! Counts of what the gateway does, in the text format of Prometheus.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Upper bounds of the latency classes in seconds.
const BOUNDS: [f64; 10] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 300.0];

/// Counts since the start. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    requests: Mutex<BTreeMap<(&'static str, u16), u64>>,
    latencies: Mutex<BTreeMap<&'static str, Latency>>,
    received: AtomicU64,
    sent: AtomicU64,
    connections: AtomicU64,
    in_progress: AtomicU64,
}

#[derive(Debug, Default, Clone, Copy)]
struct Latency {
    counts: [u64; BOUNDS.len()],
    count: u64,
    seconds: f64,
}

/// Values that are read when somebody asks for them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gauges {
    /// Bytes of bodies in memory.
    pub(crate) memory: u64,
    /// Multipart uploads that are open.
    pub(crate) uploads: usize,
}

/// Something that is in progress until it is dropped.
#[derive(Debug)]
pub(crate) struct InProgress {
    metrics: Metrics,
    count: fn(&Inner) -> &AtomicU64,
}

impl Metrics {
    /// Counts a request that was answered.
    pub(crate) fn answered(&self, operation: &'static str, status: u16, took: Duration) {
        *lock(&self.0.requests).entry((operation, status)).or_default() += 1;
        let mut latencies = lock(&self.0.latencies);
        let latency = latencies.entry(operation).or_default();
        let seconds = took.as_secs_f64();
        for (count, bound) in latency.counts.iter_mut().zip(BOUNDS) {
            *count += u64::from(seconds <= bound);
        }
        latency.count += 1;
        latency.seconds += seconds;
    }

    /// Counts bytes of plaintext that a client sent.
    pub(crate) fn received(&self, bytes: u64) {
        self.0.received.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts bytes of plaintext that were sent to a client.
    pub(crate) fn sent(&self, bytes: u64) {
        self.0.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts a connection while it is open.
    pub(crate) fn connection(&self) -> InProgress {
        self.begin(|inner| &inner.connections)
    }

    /// Counts a request while it is in progress.
    pub(crate) fn request(&self) -> InProgress {
        self.begin(|inner| &inner.in_progress)
    }

    fn begin(&self, count: fn(&Inner) -> &AtomicU64) -> InProgress {
        count(&self.0).fetch_add(1, Ordering::Relaxed);
        InProgress { metrics: self.clone(), count }
    }

    /// Returns all values as text. (Prometheus, "Exposition formats".)
    pub(crate) fn text(&self, gauges: Gauges) -> String {
        let mut text = String::new();
        let mut family = |name: &str, kind: &str, help: &str, samples: &[(String, String)]| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "# HELP sealwax_{name} {help}");
            let _ = writeln!(text, "# TYPE sealwax_{name} {kind}");
            for (suffix, value) in samples {
                let _ = writeln!(text, "sealwax_{name}{suffix} {value}");
            }
        };
        let requests = lock(&self.0.requests).clone();
        let requests: Vec<_> = requests
            .into_iter()
            .map(|((operation, status), count)| {
                let labels = format!("{{operation=\"{operation}\",status=\"{status}\"}}");
                (labels, count.to_string())
            })
            .collect();
        family("requests_total", "counter", "Requests that were answered.", &requests);
        let mut samples = Vec::new();
        for (operation, latency) in lock(&self.0.latencies).clone() {
            for (count, bound) in latency.counts.iter().zip(BOUNDS) {
                let labels = format!("_bucket{{operation=\"{operation}\",le=\"{bound}\"}}");
                samples.push((labels, count.to_string()));
            }
            let labels = format!("_bucket{{operation=\"{operation}\",le=\"+Inf\"}}");
            samples.push((labels, latency.count.to_string()));
            let seconds = format!("{:.6}", latency.seconds);
            samples.push((format!("_sum{{operation=\"{operation}\"}}"), seconds));
            let count = latency.count.to_string();
            samples.push((format!("_count{{operation=\"{operation}\"}}"), count));
        }
        let help = "Time until an answer began, in seconds.";
        family("request_duration_seconds", "histogram", help, &samples);
        let value = |value: u64| [(String::new(), value.to_string())];
        let load = |count: &AtomicU64| value(count.load(Ordering::Relaxed));
        family(
            "received_bytes_total",
            "counter",
            "Plaintext received from clients.",
            &load(&self.0.received),
        );
        family("sent_bytes_total", "counter", "Plaintext sent to clients.", &load(&self.0.sent));
        family("connections", "gauge", "Open connections.", &load(&self.0.connections));
        family(
            "requests_in_progress",
            "gauge",
            "Requests in progress.",
            &load(&self.0.in_progress),
        );
        family("memory_bytes", "gauge", "Bodies in memory.", &value(gauges.memory));
        family(
            "multipart_uploads",
            "gauge",
            "Open multipart uploads.",
            &value(gauges.uploads as u64),
        );
        text
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        (self.count)(&self.metrics.0).fetch_sub(1, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_told_as_prometheus_reads_them() {
        let metrics = Metrics::default();
        let connection = metrics.connection();
        metrics.answered("GetObject", 200, Duration::from_millis(7));
        metrics.answered("GetObject", 200, Duration::from_secs(400));
        metrics.answered("PutObject", 503, Duration::ZERO);
        metrics.received(5);
        let text = metrics.text(Gauges { memory: 4096, uploads: 2 });
        for line in [
            "sealwax_requests_total{operation=\"GetObject\",status=\"200\"} 2",
            "sealwax_requests_total{operation=\"PutObject\",status=\"503\"} 1",
            "sealwax_request_duration_seconds_bucket{operation=\"GetObject\",le=\"0.005\"} 0",
            "sealwax_request_duration_seconds_bucket{operation=\"GetObject\",le=\"0.01\"} 1",
            "sealwax_request_duration_seconds_bucket{operation=\"GetObject\",le=\"+Inf\"} 2",
            "sealwax_request_duration_seconds_sum{operation=\"GetObject\"} 400.007000",
            "sealwax_received_bytes_total 5",
            "sealwax_connections 1",
            "sealwax_memory_bytes 4096",
            "sealwax_multipart_uploads 2",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
        }
        drop(connection);
        let text = metrics.text(Gauges { memory: 0, uploads: 0 });
        assert!(text.contains("\nsealwax_connections 0\n"), "{text}");
    }
}
