//! `sealwax serve` under load, in front of SeaweedFS and with LocalStack as KMS.
//!
//! `gateway_soak SEALWAX` runs the command at that path, in three phases:
//!
//! 1. Many clients for two minutes: multipart uploads that stay open, slow readers, and every other
//!    operation on small and long objects.
//! 2. Thousands of connections that never send a whole request, with honest clients beside them.
//! 3. `kill -9` at random moments while objects are stored, and restarts.
//!
//! It stores some 15 GB, which SeaweedFS keeps until it is stopped and its data are removed. Each byte
//! that is read must be one that was stored. It prints a table of counts, and fails if
//! anything was wrong.
//!
//! | variable | default | |
//! |---|---|---|
//! | `SEALWAX_SOAK_SECONDS` | 120 | duration of the first phase |
//! | `SEALWAX_SOAK_CLIENTS` | 500 | clients in the first phase |
//! | `SEALWAX_SOAK_UPLOADS` | 100 | those of them that hold multipart uploads open |
//! | `SEALWAX_SOAK_READERS` | 100 | those of them that read slowly |
//! | `SEALWAX_SOAK_KILLS` | 20 | number of kills |
//! | `SEALWAX_SOAK_MEMORY` | 32 | `--memory` in MiB |
//! | `SEALWAX_SOAK_LIMIT` | 256 | most resident memory of the command in MiB |
//! | `SEALWAX_SOAK_SEED` | drawn | seed of all choices |

mod content;
mod counts;
mod idle;
mod kills;
mod load;
mod process;
mod store;
mod worker;

use std::{env, process::ExitCode, sync::Arc, time::SystemTime};

use sealwax_tests::{SeaweedFs, unique};

use self::{content::Pool, counts::Counts, process::Process, worker::Soak};

/// Values of the variables.
#[derive(Debug, Clone, Copy)]
struct Settings {
    seconds: u64,
    clients: usize,
    uploads: usize,
    readers: usize,
    kills: usize,
    memory: u64,
    limit: u64,
    seed: u64,
}

impl Settings {
    fn of_environment() -> Self {
        let number = |name: &str| {
            env::var(format!("SEALWAX_SOAK_{name}"))
                .ok()
                .map(|value| value.parse::<u64>().expect("a number"))
        };
        let count = |name, default: u64| {
            usize::try_from(number(name).unwrap_or(default)).expect("a number")
        };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        Self {
            seconds: number("SECONDS").unwrap_or(120),
            clients: count("CLIENTS", 500),
            uploads: count("UPLOADS", 100),
            readers: count("READERS", 100),
            kills: count("KILLS", 20),
            memory: number("MEMORY").unwrap_or(32),
            limit: number("LIMIT").unwrap_or(256),
            seed: number("SEED").unwrap_or(now.as_secs()),
        }
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let sealwax = env::args().nth(1).expect("usage: gateway_soak SEALWAX");
    let settings = Settings::of_environment();
    println!("SEALWAX_SOAK_SEED={}", settings.seed);
    let counts = Counts::default();
    let store = SeaweedFs::new().await;
    let bucket = store.object("").bucket().to_owned();
    let mut process = Process::start(&sealwax, &bucket, settings.memory);
    let soak = Arc::new(Soak {
        client: process.client(),
        url: process.url().to_owned(),
        bucket,
        prefix: unique("soak"),
        counts: counts.clone(),
        pool: Pool::new(settings.seed),
        seed: settings.seed,
    });

    if settings.seconds > 0 {
        load::run(&soak, settings).await;
        idle::run(&soak).await;
        process.check_memory(&counts, settings.limit);
        process.terminate(&counts);
        store::check_uploads(&store, &soak, 0).await;
        process.check_spool(&counts);
        process.restart();
    }
    if settings.kills > 0 {
        let objects = kills::run(&soak, &mut process, settings.kills).await;
        process.check_memory(&counts, settings.limit);
        store::check_uploads(&store, &soak, settings.kills).await;
        kills::check(&soak, &sealwax, &objects).await;
        process.terminate(&counts);
        process.check_spool(&counts);
    }
    store::check_sealed(&store, &soak).await;
    counts.print();
    match counts.is_clean() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
