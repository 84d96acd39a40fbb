//! Order of the runs: all clients take turns, so that noise on the machine affects all of them.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    Result,
    args::Plan,
    budget::{self, BudgetRun},
    contender::{Contender, KEPT, NULL, Source, Target},
    findings::{Case, Findings, NOISY, Run, Runs, TELLING},
    instructions::{self, InstructionCount},
    long_lived::{self, LongLivedRun},
    measure::{self, Stdin},
    null_server,
    operation::Operation,
    peers::Peers,
    report, request_counts,
    servers::{Counts, Server},
    small_files::{self, SmallFilesRun},
};

/// Most attempts of a run while other processes use the machine.
const MAX_ATTEMPTS: usize = 4;

/// Directories and programs of all runs.
struct Bench<'a> {
    plan: &'a Plan,
    peers: Peers,
    directory: TempDir,
    /// File of the root certificates that clients trust.
    roots: PathBuf,
    servers: Vec<Server>,
    runs: Runs,
}

/// Runs the plan's measurements and writes the report.
pub(crate) fn run(plan: &Plan) -> Result<()> {
    // In memory if possible, because a disk would be slower than any client.
    let memory = Path::new("/dev/shm");
    let directory = if memory.is_dir() {
        TempDir::with_prefix_in("sealwax-bench-", memory)?
    } else {
        TempDir::new()?
    };
    fs::create_dir(directory.path().join("store"))?;
    touch_memory(directory.path(), plan)?;
    let roots = directory.path().join("roots.pem");
    null_server::write_roots(&roots)?;
    let (peers, servers, runs) = (Peers::open()?, Vec::new(), Runs::new());
    let mut bench = Bench { plan, peers, directory, roots, servers, runs };
    for latency_ms in &plan.latencies {
        bench.servers.push(Server::start(&bench.store(), *latency_ms)?);
    }
    let range = request_counts::one_byte_range(bench.server(0)?, &bench.store())?;
    let cached_puts = request_counts::cached_puts(bench.server(0)?)?;
    let mut requests = BTreeMap::new();
    for size in &plan.sizes {
        requests.extend(bench.files(*size)?);
    }
    if let Some(size) = plan.stream {
        bench.stream(size)?;
    }
    let (small_files, long_lived) = (bench.small_files()?, bench.long_lived()?);
    let (budgets, instructions) = (bench.budgets()?, bench.instructions()?);
    let findings = Findings {
        plan,
        runs: &bench.runs,
        requests: &requests,
        range: &range,
        cached_puts: &cached_puts,
        small_files: &small_files,
        long_lived: &long_lived,
        budgets: &budgets,
        instructions: &instructions,
    };
    if let Some(directory) = plan.out.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::write(&plan.out, report::write(&findings)?)?;
    eprintln!("written: {}", plan.out.canonicalize()?.display());
    Ok(())
}

impl Bench<'_> {
    fn store(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    fn server(&self, index: usize) -> Result<&Server> {
        self.servers.get(index).ok_or_else(|| "no latency was given".into())
    }

    fn target<'b>(
        &'b self,
        server: &'b Server,
        tls: bool,
        bucket: &'b str,
        key: &'b str,
    ) -> Target<'b> {
        let endpoint = if tls { &server.secure_endpoint } else { &server.endpoint };
        Target { endpoint, roots: &self.roots, bucket, key }
    }

    fn small_files(&self) -> Result<Vec<SmallFilesRun>> {
        let target = self.target(self.server(0)?, false, KEPT, "");
        small_files::measure(&self.peers, target, self.plan.quick, self.directory.path())
    }

    fn long_lived(&self) -> Result<Vec<LongLivedRun>> {
        let mut runs = Vec::new();
        for server in &self.servers {
            for tls in [false, true] {
                let target = self.target(server, tls, KEPT, "");
                runs.extend(long_lived::measure(&self.peers, target, server.latency_ms)?);
            }
        }
        Ok(runs)
    }

    /// Measures uploads of the longest file with several memory budgets.
    fn budgets(&self) -> Result<Vec<BudgetRun>> {
        let size = self.plan.sizes.iter().max().copied().unwrap_or_default();
        let plain = self.directory.path().join("plain");
        write_plain(&plain, size)?;
        let mut runs = Vec::new();
        for server in &self.servers {
            let target = self.target(server, false, NULL, "");
            let (file, directory) = ((&*plain, size), self.directory.path());
            runs.extend(budget::measure(&self.peers, target, server.latency_ms, file, directory)?);
        }
        fs::remove_file(plain)?;
        Ok(runs)
    }

    /// Counts the instructions of one put and one get of the shortest length.
    fn instructions(&self) -> Result<Vec<InstructionCount>> {
        let size = self.plan.sizes.iter().min().copied().unwrap_or_default();
        let (plain, opened) =
            (self.directory.path().join("plain"), self.directory.path().join("opened"));
        write_plain(&plain, size)?;
        let server = self.server(0)?;
        let mut counted = Vec::new();
        for contender in [Contender::Sealwax, Contender::BareSdk, Contender::BareSdkWithOurs] {
            for tls in [false, true] {
                let key = key_of(contender);
                let target = self.target(server, tls, KEPT, &key);
                let put = contender.put(&self.peers, Source::File(&plain), target)?;
                let get = contender.get(&self.peers, target, &opened)?;
                for (operation, command) in [(Operation::Put, put), (Operation::Get, get)] {
                    let count = instructions::count(&command)?;
                    counted.extend(count.map(|count| InstructionCount {
                        operation,
                        tls,
                        contender,
                        count,
                    }));
                }
            }
        }
        fs::remove_file(plain)?;
        // None was written without callgrind.
        let _ = fs::remove_file(opened);
        Ok(counted)
    }

    /// Measures puts and gets of files of `size` bytes; returns Sealwax's requests for one of each.
    fn files(&mut self, size: u64) -> Result<Vec<((Operation, u64), Counts)>> {
        let (plain, opened) =
            (self.directory.path().join("plain"), self.directory.path().join("opened"));
        write_plain(&plain, size)?;
        let mut requests = Vec::new();
        for contender in &self.plan.contenders {
            requests.extend(
                self.prepare(*contender, &plain, &opened)?
                    .map(|(operation, counts)| ((operation, size), counts)),
            );
        }
        for operation in [Operation::Put, Operation::Get] {
            for index in 0..self.servers.len() {
                for tls in [false, true] {
                    for round in 0..self.plan.runs(size) {
                        self.round(operation, size, (index, tls), round, &plain, &opened)?;
                    }
                }
            }
        }
        for entry in self.store().read_dir()? {
            fs::remove_file(entry?.path())?;
        }
        fs::remove_file(plain)?;
        Ok(requests)
    }

    /// Stores the object that `contender` will read, reads it once, and compares the result.
    ///
    /// This is also the warm-up. Returns Sealwax's requests.
    fn prepare(
        &self,
        contender: Contender,
        plain: &Path,
        opened: &Path,
    ) -> Result<impl Iterator<Item = (Operation, Counts)> + use<>> {
        let server = self.server(0)?;
        let key = key_of(contender);
        let target = self.target(server, false, KEPT, &key);
        let begin = server.counts()?;
        measure::run(
            &contender.put(&self.peers, Source::File(plain), target)?,
            Stdin::Nothing,
            self.directory.path(),
        )?;
        let stored = server.counts()?;
        measure::run(
            &contender.get(&self.peers, target, opened)?,
            Stdin::Nothing,
            self.directory.path(),
        )?;
        let read = server.counts()?;
        if !same(plain, opened)? {
            return Err(
                format!("{}: what was read is not what was stored", contender.name()).into()
            );
        }
        fs::remove_file(opened)?;
        let counts =
            [(Operation::Put, stored.since(&begin)), (Operation::Get, read.since(&stored))];
        Ok(counts.into_iter().filter(move |_| contender == Contender::Sealwax))
    }

    /// Runs each client once, and begins each round with a different one.
    fn round(
        &mut self,
        operation: Operation,
        size: u64,
        (server, tls): (usize, bool),
        round: usize,
        plain: &Path,
        opened: &Path,
    ) -> Result<()> {
        let mut contenders = self.plan.contenders.clone();
        let len = contenders.len();
        contenders.rotate_left(round % len);
        for contender in contenders {
            let server = self.server(server)?;
            let case = Case { operation, size, latency_ms: server.latency_ms, tls };
            let key = if operation == Operation::Get {
                key_of(contender)
            } else {
                format!("run-{round}")
            };
            let bucket = if operation == Operation::Get { KEPT } else { NULL };
            let target = self.target(server, tls, bucket, &key);
            let (command, stdin) = match operation {
                Operation::Put => {
                    (contender.put(&self.peers, Source::File(plain), target)?, Stdin::Nothing)
                }
                Operation::Get => (contender.get(&self.peers, target, opened)?, Stdin::Nothing),
                Operation::Stream => {
                    (contender.put(&self.peers, Source::Stdin, target)?, Stdin::Bytes(size))
                }
            };
            let mut run;
            let mut attempts = 0;
            loop {
                run = self.measure(server, &command, stdin, case)?;
                if opened.exists() {
                    fs::remove_file(opened)?;
                }
                attempts += 1;
                if run.noise <= NOISY || attempts == MAX_ATTEMPTS || run.cost.wall < TELLING {
                    break;
                }
            }
            eprintln!(
                "{case:?} {}: wall {:.3} s, CPU {:.3} s, {} MiB; others {:.2} cores",
                contender.name(),
                run.cost.wall.as_secs_f64(),
                run.cost.cpu.as_secs_f64(),
                run.cost.memory >> 20,
                run.noise,
            );
            self.runs.entry(case).or_default().entry(contender).or_default().push(run);
        }
        Ok(())
    }

    /// Measures one put of `size` bytes from standard input by each client.
    fn stream(&mut self, size: u64) -> Result<()> {
        let opened = self.directory.path().join("opened");
        self.round(Operation::Stream, size, (0, false), 0, Path::new(""), &opened)
    }

    fn measure(&self, server: &Server, command: &Command, stdin: Stdin, case: Case) -> Result<Run> {
        let (server_before, machine_before) = (server.counts()?, measure::machine_cpu()?);
        let (cost, feeder) = measure::run(command, stdin, self.directory.path())?;
        let machine = measure::machine_cpu()?.saturating_sub(machine_before);
        let counts = server.counts()?.since(&server_before);
        if counts.get(if case.operation == Operation::Get { "bytes_out" } else { "bytes_in" })
            < case.size
        {
            return Err(format!("{command:?} did not transfer all of it").into());
        }
        let server = Duration::from_micros(counts.get("cpu_us"));
        let others = machine.saturating_sub(cost.cpu + feeder + server);
        let noise = others.as_secs_f64() / cost.wall.as_secs_f64();
        Ok(Run { cost, server, noise })
    }
}

/// Touches as much memory as the runs will use.
///
/// A virtual machine gets memory from its host at first use, which costs more than these
/// measurements.
fn touch_memory(directory: &Path, plan: &Plan) -> Result<()> {
    let memory = fs::read_to_string("/proc/meminfo")?;
    let available = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:")?.split_whitespace().next());
    let available = available.and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default() << 10;
    let wanted = plan.sizes.iter().max().copied().unwrap_or_default() * 12;
    let path = directory.join("touched");
    let mut file = File::create(&path)?;
    let block = vec![0; 1 << 20];
    for _ in 0..wanted.min(available / 3 * 2) >> 20 {
        file.write_all(&block)?;
    }
    Ok(fs::remove_file(path)?)
}

/// Returns the key of the object that a client reads.
fn key_of(contender: Contender) -> String {
    format!("{contender:?}").to_lowercase()
}

/// Writes a file of `size` bytes whose parts all differ.
fn write_plain(path: &Path, size: u64) -> Result<()> {
    let mut file = io::BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut state = 1_u64;
    let mut left = size;
    while left > 0 {
        // xorshift64 (Marsaglia): fast and incompressible.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let bytes = state.to_le_bytes();
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        file.write_all(&bytes[..len])?;
        left -= len as u64;
    }
    Ok(file.flush()?)
}

fn same(left: &Path, right: &Path) -> Result<bool> {
    let (mut left, mut right) = (File::open(left)?, File::open(right)?);
    if left.metadata()?.len() != right.metadata()?.len() {
        return Ok(false);
    }
    let mut buffers = [vec![0; 1 << 20], vec![0; 1 << 20]];
    loop {
        let [a, b] = &mut buffers;
        let len = left.read(a)?;
        if len == 0 {
            return Ok(true);
        }
        right.read_exact(&mut b[..len])?;
        if a[..len] != b[..len] {
            return Ok(false);
        }
    }
}
