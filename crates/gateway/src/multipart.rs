//! Multipart uploads of clients: each is one put of a sealed object.
//!
//! A body is sealed in order, and clients send parts in any order and size. So a part is gathered
//! whole and verified, and then waits until all parts before it are sealed. The put reads the parts as
//! one stream, which ends when the client completes the upload. What was sealed cannot be taken back:
//! if the client sends a part again with other bytes, or completes the upload without it, the put is
//! dropped and another one begins, under a new data key.

mod part;
mod registry;
mod spool;
mod upload;

pub use self::spool::SpoolSettings;
pub(crate) use self::{
    part::{Part, PartStore, Received, receive},
    registry::{Uploads, random_name, sweep},
    spool::Spool,
    upload::{NamedPart, Start, Upload},
};
