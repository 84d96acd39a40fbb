//! The formats of the S3 Encryption Client: real objects, malformed ones, attacks, and written
//! objects.

mod attacks;
mod malformed;
mod raw_keys;
mod reading;
mod samples;
mod written;
