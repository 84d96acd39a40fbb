//! The formats of the S3 Encryption Client: real objects, malformed ones, attacks, and what is written.

mod attacks;
mod malformed;
mod raw_keys;
mod samples;
mod vectors;
mod written;
