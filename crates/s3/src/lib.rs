#![doc = include_str!("../README.md")]

pub mod audit;
#[cfg(test)]
mod auto_traits;
mod aws_failure;
mod checksums;
mod client;
pub mod drill;
mod error;
mod format;
mod kms;
pub mod listing;
pub mod migrate;
mod object;
mod operation;
mod places;
pub mod rewrap;
pub mod s3ec;
mod server_clock;
mod sidecars;
mod slots;
mod source;
#[cfg(feature = "testing")]
pub mod testing;
mod timeouts;
mod upload;
mod uri;
pub mod verify;

pub use {aws_config, aws_sdk_kms, aws_sdk_s3, sealwax_envelope as envelope};

pub use self::{
    aws_failure::error_chain,
    checksums::BodyChecksum,
    client::{SealedClient, SealedClientBuilder},
    error::{Error, ErrorKind},
    format::{ObjectFormat, UnencryptedObjects},
    kms::{
        DiscoveryFilter, InvalidArn, KMS_PROVIDER, KmsKeyArn, KmsKeyring, KmsKeyringBuilder,
        WrapPolicy,
    },
    object::{Attributes, ObjectInfo},
    operation::{
        copy::{Copy, CopyOutput},
        delete::Delete,
        get::{Get, PlaintextStream, SealedObject},
        head::Head,
        put::{Put, PutOutput, PutS3ec, PutS3ecOutput},
        reencrypt::{Reencrypt, ReencryptOutput, WriteFormat},
        rewrap::{Landing, Rewrap, RewrapOutcome, RewrapOutput},
        shred::{KeyHolder, Shred, ShredOutput},
        verify::{Verified, Verify, VerifyDepth},
    },
    places::PlacePolicy,
    server_clock::ServerClock,
    sidecars::SidecarPolicy,
    source::PlaintextSource,
    upload::unfinished::UnfinishedUpload,
    uri::{InvalidUri, S3Uri},
};
