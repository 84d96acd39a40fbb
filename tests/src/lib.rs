//! Set-up shared by the suites: the servers, a wire below the SDK that records and disturbs
//! requests, random bytes, and assertions.

mod derived;
mod environment;
mod expect;
mod harness;
mod localstack;
mod random;
mod seaweedfs;
mod stored;
mod wire;

pub use self::{
    derived::{BodyKey, aes_256_key_schedule, s3ec_content_key},
    environment::{Region, east, west},
    expect::{assert_hidden, assert_kind, assert_unreadable, read},
    harness::{PART, PATIENCE, file_names, in_time, plaintext, unique, wait_until},
    localstack::LocalStack,
    random::Random,
    seaweedfs::{SeaweedFs, local_keyring},
    stored::{Stored, unfinished_uploads},
    wire::{Call, Ending, Reaction, Wire},
};

/// Compiles the README's example.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// Compiles the page's example.
#[cfg(doctest)]
#[doc = include_str!("../../docs/S3-ENCRYPTION-CLIENT.md")]
struct S3EncryptionClient;
