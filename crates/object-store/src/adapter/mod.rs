//! The adapter. It is compiled once for each version of `object_store`, which the parent module names.

mod attributes;
mod delete;
mod error;
mod get;
mod list;
mod put;
mod store;
mod time;
mod upload;

pub use self::store::SealedStore;
