//! `SealedStore` as an `object_store::ObjectStore`: the suite of that crate, and further tests, with
//! each version of that crate.

#![allow(clippy::duplicate_mod, reason = "the versions' types differ")]

mod v0_13;

mod v0_14;
