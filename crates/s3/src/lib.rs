#![doc = include_str!("../README.md")]

#[cfg(test)]
mod auto_traits;
mod aws_failure;
mod checksums;
mod client;
mod error;
mod format;
mod kms;
mod list;
mod object;
mod object_kind;
mod operation;
mod places;
pub mod s3ec;
mod server_clock;
mod sidecars;
mod single_flight;
mod source;
#[cfg(feature = "testing")]
pub mod testing;
mod timeouts;
mod upload;
mod uri;

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
    list::{ListPages, ListedObject, decode_key},
    object::{Attributes, ObjectInfo},
    object_kind::ObjectKind,
    operation::{
        copy::{Copy, CopyOutput},
        delete::Delete,
        get::{Get, PlaintextStream, SealedObject},
        head::Head,
        inspect::{Inspect, InspectOutput, InspectedKey},
        key_materials::KeyMaterials,
        put::{Put, PutOutput, PutS3ec, PutS3ecOutput},
        reencrypt::{Reencrypt, ReencryptOutput, WriteFormat},
        rewrap::{
            DataKeyWay, EditName, Edits, Forecast, ForecastAction, Forecaster, Landing,
            MetadataWay, ObjectState, PlannedRewrap, Rewrap, RewrapCost, RewrapOutcome,
            RewrapOutput, Rewrapper, Skipped,
        },
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
