#![doc = include_str!("../README.md")]
#![allow(clippy::duplicate_mod, reason = "the types of the versions differ")]

pub use sealwax_s3 as s3;

#[cfg(not(any(feature = "v0_13", feature = "v0_14")))]
compile_error!("choose the version of object_store: the feature `v0_13` or `v0_14`");

#[cfg(feature = "v0_13")]
pub mod v0_13;

#[cfg(feature = "v0_14")]
pub mod v0_14;
