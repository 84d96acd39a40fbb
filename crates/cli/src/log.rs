//! What is logged, on standard error.

use std::io;

use tracing_subscriber::{
    EnvFilter, filter::LevelFilter, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use crate::args::GlobalArgs;

/// Begins to log: what `RUST_LOG` says, else by the count of `-v`.
pub(crate) fn init(args: &GlobalArgs) {
    let default = match (args.quiet, args.verbose) {
        (true, _) => "error",
        (false, 0) => "error,sealwax_s3=warn,sealwax_envelope=warn",
        (false, 1) => "warn,sealwax_s3=debug,sealwax_envelope=debug",
        (false, _) => "debug,hyper_util=info,rustls=info",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let lines =
        tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(false).without_time();
    tracing_subscriber::registry()
        .with(filter)
        // At TRACE the SDK logs bodies: with LOG_SENSITIVE_BODIES=true even answers of KMS, which hold data keys.
        .with(LevelFilter::DEBUG)
        .with(lines)
        .init();
}
