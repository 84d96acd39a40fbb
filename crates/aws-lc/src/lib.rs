#![doc = include_str!("../README.md")]

pub mod gcm;
mod oaep;

pub use self::oaep::OaepSha256Mgf1Sha1;

use std::fmt;

/// The data did not authenticate or did not decrypt. Says no more, so that it cannot serve as an
/// oracle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unauthentic;

impl fmt::Display for Unauthentic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the data failed authentication")
    }
}

impl std::error::Error for Unauthentic {}
