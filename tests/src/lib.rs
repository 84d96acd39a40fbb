//! What the suites share: the servers, a wire below the SDK that can be watched and disturbed, and random bytes.

mod derived;
mod environment;
mod expect;
mod harness;
mod localstack;
mod seaweedfs;
mod stored;
mod wire;

pub use self::{
    derived::{BodyKey, aes_256_key_schedule},
    environment::{Region, east, west},
    expect::{assert_hidden, assert_kind, assert_unreadable, read},
    harness::{PART, PATIENCE, file_names, in_time, plaintext, unique, wait_until},
    localstack::LocalStack,
    seaweedfs::{SeaweedFs, local_keyring},
    stored::{Stored, unfinished_uploads},
    wire::{Call, Ending, Reaction, Wire},
};

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// The example of this page compiles.
#[cfg(doctest)]
#[doc = include_str!("../../docs/S3-ENCRYPTION-CLIENT.md")]
struct S3EncryptionClient;
