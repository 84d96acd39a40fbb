//! An AWS Lambda function that re-wraps sealed objects: those of an S3 Batch Operations job, or of S3 event notifications.

mod batch_operations;
mod event;
mod function;
mod notification;
mod result;
mod runtime;
mod settings;

use std::{convert::Infallible, env, error::Error, ffi::OsString, process::ExitCode};

use aws_config::BehaviorVersion;
use tracing_subscriber::{
    EnvFilter, filter::LevelFilter, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use self::{
    function::Function,
    runtime::{Failure, Runtime},
    settings::Given,
};

#[tokio::main]
async fn main() -> ExitCode {
    init_log();
    let runtime = match Runtime::of_environment() {
        Ok(runtime) => runtime,
        Err(failure) => {
            tracing::error!("{failure}");
            return ExitCode::from(2);
        }
    };
    let Err(error) = serve(&runtime).await;
    tracing::error!("{error}");
    ExitCode::FAILURE
}

/// Answers events until the runtime API fails, or at once if the function cannot begin.
async fn serve(runtime: &Runtime) -> Result<Infallible, Box<dyn Error>> {
    let function = match begin().await {
        Ok(function) => function,
        Err(failure) => {
            runtime.cannot_begin(&failure).await?;
            return Err(failure.into());
        }
    };
    loop {
        let invocation = runtime.next().await?;
        let answer = function.answer(&invocation.event, invocation.time_left).await;
        if let Err(failure) = &answer {
            tracing::error!("{failure}");
        }
        runtime.answer(&invocation, &answer).await?;
    }
}

async fn begin() -> Result<Function, Failure> {
    let text = |text: OsString| text.to_string_lossy().into_owned();
    let given =
        Given::by_environment(env::vars_os().map(|(name, value)| (text(name), text(value))));
    let given = given.map_err(|error| Failure::new("Settings", error.to_string()))?;
    Function::new(aws_config::load_defaults(BehaviorVersion::v2026_01_12()).await, given)
}

/// Logs what `RUST_LOG` says, else each object and all warnings.
fn init_log() {
    let default = "warn,sealwax_lambda=info";
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::registry()
        .with(filter)
        // At TRACE the SDK logs bodies: with LOG_SENSITIVE_BODIES=true even answers of KMS, which hold data keys.
        .with(LevelFilter::DEBUG)
        .with(
            tracing_subscriber::fmt::layer()
                .with_writer(std::io::stderr)
                .with_ansi(false)
                .without_time(),
        )
        .init();
}
