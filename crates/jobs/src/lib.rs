#![doc = include_str!("../README.md")]

pub mod audit;
pub mod drill;
mod engine;
pub mod listing;
pub mod migrate;
pub mod rewrap;
pub mod verify;

pub use sealwax_s3;
