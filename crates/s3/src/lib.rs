#![doc = include_str!("../README.md")]

mod attempts;
#[cfg(test)]
mod auto_traits;
mod aws_hosts;
mod backoff;
mod blocking;
mod buffer_pool;
mod causes;
mod client;
mod default_http;
mod download;
mod error;
mod format;
mod kms;
mod limited_http;
pub mod limits;
mod memory;
mod object;
mod object_state;
mod operation;
mod places;
mod plain_http;
mod progress;
mod rate_limited_http;
mod request_headers;
pub mod s3ec;
mod sdk_limits;
mod single_flight;
mod store;
#[cfg(feature = "testing")]
pub mod testing;
mod upload;
mod uri;
mod vault;
mod whole_answers;

pub use {
    aws_config, aws_sdk_kms, aws_sdk_s3, sealwax_envelope as envelope, sealwax_files as files,
};

pub use self::{
    aws_hosts::is_aws_url,
    client::{SealedClient, SealedClientBuilder},
    default_http::{default_http_client, small_buffer_http_client},
    error::{Error, ErrorKind, error_chain, has_too_many_files},
    format::{ObjectFormat, UnencryptedObjects},
    kms::{
        DiscoveryFilter, InvalidArn, InvalidKeyName, InvalidKeyring, KMS_PROVIDER, KmsKeyArn,
        KmsKeyName, KmsKeyring, KmsKeyringBuilder, TooFewKeys, WrapPolicy, is_known_region,
        is_region_name, partition_of,
    },
    limited_http::LimitedHttp,
    object::{ContentId, ObjectInfo},
    object_state::{ObjectState, StateId},
    operation::{
        abort::recorded_object,
        copy::{CopyObject, CopyObjectOutput},
        delete::{Delete, DeleteOutput},
        delete_batch::DeleteBatch,
        forecast::{Forecast, ForecastAction},
        get::{Get, PlaintextStream, SealedObject},
        head::Head,
        inspect::{Inspect, InspectOutput, InspectedKey},
        key_audit::KeyAudit,
        listed::Processed,
        move_object::{CopiedObject, MoveObject, MoveObjectOutput},
        permission::Permission,
        put::{Put, PutOutput, PutS3ec, PutS3ecOutput},
        reencrypt::{
            MigrateOutcome, Migration, MigrationFormat, Migrator, Reencrypt, ReencryptCost,
            ReencryptOutput, WriteFormat,
        },
        rewrap::{
            DataKeyWay, Forecaster, KeyChange, KeyChanges, KeyStorage, MetadataWay, Rewrap,
            RewrapCost, RewrapOutcome, RewrapOutput, Rewrapper,
        },
        shred::{KeyHolder, Shred, ShredOutput},
        skipped::Skipped,
        stored_keys::{ListStoredKeys, ProvenForm, StoredKey, StoredKeyOutput, StoredKeys},
        verify::{Verify, VerifyDepth, VerifyOutput},
    },
    places::PlacePolicy,
    plain_http::PlainHttp,
    rate_limited_http::{ByteRate, RateLimitedHttp},
    request_headers::RequestHeaders,
    sdk_limits::with_sdk_limits,
    store::{
        acl::AclPolicy,
        attributes::Attributes,
        checksum::BodyChecksum,
        condition_proof::ConditionPolicy,
        conditions::LateConditions,
        known_store::{KnownStore, StoreTrait},
        list::{
            ListPages, ListedObject, ListedPage, ListedUpload, PageTokens, UploadPages, decode_key,
        },
        server_clock::ServerClock,
        unclaimed::UnclaimedUpload,
    },
    upload::{
        into_source::IntoPlaintextSource, source::PlaintextSource, unfinished::UnfinishedUpload,
    },
    uri::{InvalidUri, S3Uri},
    vault::{
        key_report::{KeyReport, Opening},
        key_store::KeyStorePolicy,
        object_kind::ObjectKind,
        proofs::KeyProof,
        sidecar::SidecarPolicy,
    },
};
