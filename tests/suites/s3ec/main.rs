//! Objects of the Amazon S3 Encryption Client: real ones, ours read by the official Python client and its read by us,
//! migration, and what an attacker with the bucket can do.

mod migrate;
mod peers;
mod read;
mod samples;
mod write;
