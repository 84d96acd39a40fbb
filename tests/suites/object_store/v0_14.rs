//! `object_store` 0.14.

#[path = "cases/mod.rs"]
mod cases;

use sealwax_object_store::v0_14::{SealedStore, object_store};
