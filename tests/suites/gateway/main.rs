//! The gateway, in this process and in front of LocalStack.
//!
//! A fault strikes each of its requests to S3 and KMS, and clients break off at each edge of their
//! requests' framing. Whatever happens: an object is the old one or the new one, what reaches the store is
//! sealed, a failure has a code of S3 that says whether to repeat the request, the next request works,
//! and no upload, memory or record is left.

mod actions;
mod disconnects;
mod faults;
mod plan;
mod running;
mod signed;
mod world;
