//! An AWS Lambda function that rewraps sealed objects, for S3 Batch Operations jobs and S3 event
//! notifications.

mod batch_operations;
mod bucket_arn;
mod event;
mod function;
mod notification;
mod object_result;
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
    settings::RawSettings,
};

#[tokio::main]
async fn main() -> ExitCode {
    init_log();
    let runtime = match Runtime::from_environment() {
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

/// Handles events until the runtime API fails. Returns at once if the function cannot start.
async fn serve(runtime: &Runtime) -> Result<Infallible, Box<dyn Error>> {
    let function = match initialize().await {
        Ok(function) => function,
        Err(failure) => {
            runtime.initialization_failed(&failure).await?;
            return Err(failure.into());
        }
    };
    loop {
        let invocation = runtime.next().await?;
        let response = function.handle(&invocation.event, invocation.time_left).await;
        if let Err(failure) = &response {
            tracing::error!("{failure}");
        }
        runtime.respond(&invocation, &response).await?;
    }
}

async fn initialize() -> Result<Function, Failure> {
    let text = |text: OsString| text.to_string_lossy().into_owned();
    let raw = RawSettings::from_environment(
        env::vars_os().map(|(name, value)| (text(name), text(value))),
    );
    let raw = raw.map_err(|error| Failure::new("Settings", error.to_string()))?;
    Function::new(aws_config::load_defaults(BehaviorVersion::v2026_01_12()).await, raw)
}

/// Logs as `RUST_LOG` says; without it, each object and all warnings.
fn init_log() {
    let default = "warn,sealwax_lambda=info";
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::registry()
        .with(filter)
        // At TRACE the SDK logs bodies; with LOG_SENSITIVE_BODIES=true even responses of KMS, which
        // hold data keys.
        .with(LevelFilter::DEBUG)
        .with(
            tracing_subscriber::fmt::layer()
                .with_writer(std::io::stderr)
                .with_ansi(false)
                .without_time(),
        )
        .init();
}
