#![doc = include_str!("../README.md")]

pub mod audit;
#[cfg(test)]
mod auto_traits;
mod background;
mod bounded;
pub mod compare;
pub mod drill;
mod engine;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod job;
pub mod listing;
pub mod merge;
pub mod migrate;
pub mod retire;
pub mod rewrap;
mod s3_error;
pub mod stored_keys;
mod text_lines;
pub mod verify;

pub use sealwax_s3;
pub use tokio_util::sync::CancellationToken;

pub use self::engine::{Engine, Outcomes, RetryPolicy, RetryState, Summary};
