//! `object_store` 0.13.

#[path = "cases/mod.rs"]
mod cases;

use sealwax_object_store::v0_13::{SealedStore, object_store};
