//! Uploads with several memory budgets.

use std::path::Path;

use aws_config::BehaviorVersion;
use aws_sdk_s3::{Client, config::Builder};
use sealwax_s3::{KmsKeyring, PlaintextSource, SealedClient};
use tokio::runtime::Runtime;

use crate::{
    Result,
    contender::{Contender, KEY_ARN, NULL, Target},
    measure::{self, Cost, Stdin},
    peers::Peers,
};

/// Budgets in MiB.
const BUDGETS: [usize; 5] = [16, 32, 64, 128, 256];
/// Number of runs, of which the one with the median wall time counts.
const RUNS: usize = 3;

/// Upload with one budget.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BudgetRun {
    pub(crate) mib: usize,
    pub(crate) latency_ms: u64,
    pub(crate) size: u64,
    pub(crate) cost: Cost,
}

/// Measures uploads of `file`, of `size` bytes, with each budget.
pub(crate) fn measure(
    peers: &Peers,
    target: Target<'_>,
    latency_ms: u64,
    (file, size): (&Path, u64),
    directory: &Path,
) -> Result<Vec<BudgetRun>> {
    let mut runs = Vec::new();
    for mib in BUDGETS {
        let mut command = Contender::BareSdk.command(peers, target)?;
        command.arg("budget-put").arg(mib.to_string()).arg(file);
        let mut costs = Vec::new();
        for _ in 0..RUNS {
            costs.push(measure::run(&command, Stdin::Nothing, directory)?.0);
        }
        costs.sort_by_key(|cost| cost.wall);
        let cost = costs[RUNS / 2];
        eprintln!("budget of {mib} MiB, {latency_ms} ms: {cost:?}");
        runs.push(BudgetRun { mib, latency_ms, size, cost });
    }
    Ok(runs)
}

/// Uploads a file with a budget of `mib` MiB.
pub(crate) fn put(mib: usize, file: &Path) -> Result<()> {
    Runtime::new()?.block_on(async {
        let config = aws_config::load_defaults(BehaviorVersion::v2026_01_12()).await;
        let s3 = Client::from_conf(Builder::from(&config).force_path_style(true).build());
        let keyring = KmsKeyring::builder(&config).key(KEY_ARN).build()?;
        let client = SealedClient::builder(s3, keyring).memory_budget(mib << 20).build();
        let put = client.put().bucket(NULL).key("budget").body(PlaintextSource::file(file));
        put.send().await?;
        Ok(())
    })
}
