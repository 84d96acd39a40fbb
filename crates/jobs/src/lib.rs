#![doc = include_str!("../README.md")]

pub mod audit;
pub mod drill;
mod engine;
pub mod listing;
pub mod migrate;
pub mod rewrap;
mod s3_error;
pub mod verify;

pub use sealwax_s3;
