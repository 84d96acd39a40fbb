//! Objects of the Amazon S3 Encryption Client: samples, exchange with the official Python client,
//! migration, and attacks by a writer of the bucket.

mod migrate;
mod peers;
mod read;
mod samples;
mod write;
