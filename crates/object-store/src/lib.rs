#![doc = include_str!("../README.md")]

mod attributes;
mod delete;
mod error;
mod get;
mod list;
mod put;
mod store;
mod time;
mod upload;

pub use {object_store, sealwax_s3 as s3};

pub use self::store::SealedStore;
