#![doc = include_str!("../README.md")]

mod aws_failure;
mod checksums;
mod client;
mod error;
mod format;
mod kms;
mod object;
mod operation;
mod places;
pub mod s3ec;
mod source;
mod timeouts;
mod upload;
mod uri;

pub use {aws_config, aws_sdk_kms, aws_sdk_s3, sealwax_envelope as envelope};

pub use self::{
    checksums::BodyChecksum,
    client::{SealedClient, SealedClientBuilder},
    error::{Error, ErrorKind},
    format::{ObjectFormat, UnencryptedObjects},
    kms::{DiscoveryFilter, InvalidArn, KMS_PROVIDER, KmsKeyArn, KmsKeyring, KmsKeyringBuilder, WrapPolicy},
    object::{Attributes, ObjectInfo},
    operation::{
        delete::Delete,
        get::{Get, PlaintextStream, SealedObject},
        head::Head,
        put::{Put, PutOutput, PutS3ec, PutS3ecOutput},
        reencrypt::{Reencrypt, ReencryptOutput, WriteFormat},
        rewrap::{Rewrap, RewrapOutcome, RewrapOutput},
    },
    places::PlacePolicy,
    source::PlaintextSource,
    upload::unfinished::UnfinishedUpload,
    uri::{InvalidUri, S3Uri},
};
