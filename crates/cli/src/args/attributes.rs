//! Arguments about what S3 stores with an object.

use std::{collections::BTreeSet, path::Path, str::FromStr};

use aws_sdk_s3::{
    primitives::DateTime,
    types::{
        ObjectCannedAcl, ObjectLockEventHold, ObjectLockLegalHoldStatus, ObjectLockMode,
        ServerSideEncryption, StorageClass,
    },
};
use clap::{
    Args,
    builder::{NonEmptyStringValueParser, PossibleValuesParser, TypedValueParser},
};
use sealwax_s3::{Attributes, S3Uri};

use super::{AclArg, HttpDate, Pair, Timestamp, content_type};
use crate::failure::Failure;

/// The way S3 keeps new objects. A profile may set it, because a bucket's owner decides it for all
/// objects alike.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct AtRestArgs {
    /// Storage class, such as `STANDARD_IA`, `GLACIER_IR` or `DEEP_ARCHIVE`
    #[arg(long, value_name = "CLASS", value_parser = NonEmptyStringValueParser::new(), help_heading = "Stored attributes")]
    storage_class: Option<String>,

    /// Server-side encryption by S3, beside Sealwax's: a bucket policy may require it
    #[arg(long, value_name = "ALGORITHM", value_parser = sse(), help_heading = "Stored attributes")]
    sse: Option<ServerSideEncryption>,

    /// KMS key of the server-side encryption [default: the AWS managed key aws/s3]
    #[arg(long, value_name = "KEY", requires = "sse", value_parser = NonEmptyStringValueParser::new(), help_heading = "Stored attributes")]
    sse_kms_key_id: Option<String>,

    /// Use an S3 Bucket Key for the server-side encryption, which saves KMS requests
    #[arg(long, requires = "sse", help_heading = "Stored attributes", hide_short_help = true)]
    bucket_key_enabled: bool,
}

impl AtRestArgs {
    /// Returns `attributes` with the given ones.
    fn onto(&self, mut attributes: Attributes) -> Attributes {
        attributes.storage_class = self.storage_class.as_deref().map(StorageClass::from);
        self.encryption_onto(attributes)
    }

    /// Returns `attributes` with the given server-side encryption.
    pub(crate) fn encryption_onto(&self, mut attributes: Attributes) -> Attributes {
        attributes.server_side_encryption = self.sse.clone();
        attributes.ssekms_key_id = self.sse_kms_key_id.clone();
        attributes.bucket_key_enabled = self.bucket_key_enabled.then_some(true);
        attributes
    }

    /// Describes what is given, for people; `None` if nothing is.
    pub(crate) fn described(&self) -> Option<String> {
        let class = self.storage_class.as_ref().map(|class| format!("storage class {class}"));
        let sse = self.sse.as_ref().map(|sse| {
            let key = self.sse_kms_key_id.as_ref();
            let key = key.map_or(String::new(), |key| format!(" under {key}"));
            let bucket_key = if self.bucket_key_enabled { ", with a bucket key" } else { "" };
            format!("server-side encryption {sse}{key}{bucket_key}")
        });
        let all: Vec<_> = class.into_iter().chain(sse).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

/// Attributes of new objects. With none, a copy has those of its source.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct AttributeArgs {
    /// Content-Type of the plaintext; put guesses it from the name if it is not given
    #[arg(long, value_name = "TYPE", value_parser = NonEmptyStringValueParser::new(), help_heading = "Stored attributes")]
    content_type: Option<String>,

    /// Content-Encoding of the plaintext, such as gzip
    #[arg(long, value_name = "ENCODING", value_parser = NonEmptyStringValueParser::new(), help_heading = "Stored attributes", hide_short_help = true)]
    content_encoding: Option<String>,

    /// Content-Disposition
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new(), help_heading = "Stored attributes", hide_short_help = true)]
    content_disposition: Option<String>,

    /// Content-Language
    #[arg(long, value_name = "LANGUAGE", value_parser = NonEmptyStringValueParser::new(), help_heading = "Stored attributes", hide_short_help = true)]
    content_language: Option<String>,

    /// Cache-Control
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new(), help_heading = "Stored attributes", hide_short_help = true)]
    cache_control: Option<String>,

    /// Expires, such as 2026-11-28T08:00:00Z
    #[arg(long, value_name = "TIME", help_heading = "Stored attributes", hide_short_help = true)]
    expires: Option<HttpDate>,

    /// Redirect location of the bucket's website endpoint
    #[arg(long, value_name = "LOCATION", value_parser = NonEmptyStringValueParser::new(), help_heading = "Stored attributes", hide_short_help = true)]
    website_redirect: Option<String>,

    /// Pair of user-defined metadata, stored in clear; repeatable. A copy keeps its source's pairs
    /// of other names
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Stored attributes")]
    metadata: Vec<Pair>,

    /// Tags as URL query parameters, such as `team=a&stage=b`
    #[arg(long, value_name = "TAGS", value_parser = NonEmptyStringValueParser::new(), help_heading = "Stored attributes")]
    tagging: Option<String>,

    #[command(flatten)]
    at_rest: AtRestArgs,

    /// Object Lock: mode of the retention period
    #[arg(long, value_name = "MODE", requires = "object_lock_retain_until_date", value_parser = lock_mode(), help_heading = "Stored attributes", hide_short_help = true)]
    object_lock_mode: Option<ObjectLockMode>,

    /// Object Lock: end of the retention period, such as 2033-12-31T00:00:00Z
    #[arg(
        long,
        value_name = "TIME",
        requires = "object_lock_mode",
        help_heading = "Stored attributes",
        hide_short_help = true
    )]
    object_lock_retain_until_date: Option<Timestamp>,

    /// Object Lock: legal hold
    #[arg(long, value_name = "STATUS", value_parser = legal_hold(), help_heading = "Stored attributes", hide_short_help = true)]
    object_lock_legal_hold_status: Option<ObjectLockLegalHoldStatus>,

    /// Object Lock: event hold, which protects the object until an event releases it
    #[arg(long, value_name = "STATUS", value_parser = event_hold(), help_heading = "Stored attributes", hide_short_help = true)]
    object_lock_event_hold: Option<ObjectLockEventHold>,

    /// Object Lock: days of protection after the event hold is released
    #[arg(long, value_name = "DAYS", requires = "object_lock_event_hold", conflicts_with = "object_lock_event_hold_duration_years", value_parser = clap::value_parser!(i32).range(1..=36_500), help_heading = "Stored attributes", hide_short_help = true)]
    object_lock_event_hold_duration_days: Option<i32>,

    /// Object Lock: years of protection after the event hold is released
    #[arg(long, value_name = "YEARS", requires = "object_lock_event_hold", value_parser = clap::value_parser!(i32).range(1..=100), help_heading = "Stored attributes", hide_short_help = true)]
    object_lock_event_hold_duration_years: Option<i32>,
}

impl AttributeArgs {
    /// Returns the given attributes.
    pub(crate) fn attributes(&self) -> Attributes {
        let time = |time: Option<Timestamp>| time.map(|Timestamp(time)| DateTime::from(time));
        let mut attributes = Attributes::default();
        attributes.content_type = self.content_type.clone();
        attributes.content_encoding = self.content_encoding.clone();
        attributes.content_disposition = self.content_disposition.clone();
        attributes.content_language = self.content_language.clone();
        attributes.cache_control = self.cache_control.clone();
        attributes.expires = self.expires.clone().map(|HttpDate(date)| date);
        attributes.website_redirect_location = self.website_redirect.clone();
        attributes.tagging = self.tagging.clone();
        attributes.object_lock_mode = self.object_lock_mode.clone();
        attributes.object_lock_retain_until_date = time(self.object_lock_retain_until_date);
        attributes.object_lock_legal_hold_status = self.object_lock_legal_hold_status.clone();
        attributes.object_lock_event_hold = self.object_lock_event_hold.clone();
        attributes.object_lock_event_hold_duration_days = self.object_lock_event_hold_duration_days;
        attributes.object_lock_event_hold_duration_years =
            self.object_lock_event_hold_duration_years;
        self.at_rest.onto(attributes)
    }

    /// Returns the pairs of user-defined metadata.
    ///
    /// # Errors
    /// A name is given twice.
    pub(crate) fn metadata(&self) -> Result<&[Pair], Failure> {
        let mut names = BTreeSet::new();
        let repeated = self.metadata.iter().find(|pair| !names.insert(pair.name.to_lowercase()));
        match repeated {
            Some(pair) => Err(Failure::usage(format!("duplicate metadata name {:?}", pair.name))),
            None => Ok(&self.metadata),
        }
    }
}

/// Attributes of objects that are made of files.
#[derive(Debug, Clone, Args)]
pub(crate) struct NewObjectArgs {
    #[command(flatten)]
    given: AttributeArgs,

    /// Don't guess Content-Type from the name
    #[arg(
        long,
        conflicts_with = "content_type",
        help_heading = "Stored attributes",
        hide_short_help = true
    )]
    no_guess_content_type: bool,

    /// Canned ACL, such as bucket-owner-full-control
    #[arg(long, value_name = "ACL", value_parser = canned_acl(), help_heading = "Stored attributes", hide_possible_values = true)]
    acl: Option<ObjectCannedAcl>,
}

impl NewObjectArgs {
    /// Returns the attributes of the object at `uri` that is made of `file`.
    pub(crate) fn of(&self, file: &Path, uri: &S3Uri) -> Attributes {
        let mut attributes = self.given.attributes();
        attributes.acl = self.acl.clone();
        if attributes.content_type.is_none() && !self.no_guess_content_type {
            let of_file =
                file.file_name().and_then(|name| name.to_str()).and_then(content_type::of);
            attributes.content_type =
                of_file.or_else(|| content_type::of(uri.key())).map(str::to_owned);
        }
        attributes
    }

    /// Returns the attributes that are given, for all objects alike.
    pub(crate) fn given(&self) -> Attributes {
        self.given.attributes()
    }

    /// Returns the pairs of user-defined metadata.
    ///
    /// # Errors
    /// A name is given twice.
    pub(crate) fn metadata(&self) -> Result<&[Pair], Failure> {
        self.given.metadata()
    }
}

/// Attributes of copies.
#[derive(Debug, Clone, Args)]
pub(crate) struct CopiedObjectArgs {
    #[command(flatten)]
    given: AttributeArgs,

    /// Access control list of the copy: keep the source's, ignore it on a store that can't tell it,
    /// or a canned ACL such as bucket-owner-full-control
    #[arg(
        long,
        value_name = "keep|ignore|ACL",
        default_value = "keep",
        hide_default_value = true,
        help_heading = "Stored attributes"
    )]
    acl: CopyAcl,
}

impl CopiedObjectArgs {
    /// Returns the attributes that the copy has instead of its source's.
    pub(crate) fn attributes(&self) -> Attributes {
        let mut attributes = self.given.attributes();
        if let CopyAcl::Canned(acl) = &self.acl {
            attributes.acl = Some(acl.clone());
        }
        attributes
    }

    /// Returns the treatment of the source's access control list, unless the copy has its own.
    pub(crate) fn acls(&self) -> AclArg {
        match &self.acl {
            CopyAcl::Source(acl) => *acl,
            CopyAcl::Canned(_) => AclArg::Keep,
        }
    }

    /// Returns the pairs of user-defined metadata.
    ///
    /// # Errors
    /// A name is given twice.
    pub(crate) fn metadata(&self) -> Result<&[Pair], Failure> {
        self.given.metadata()
    }
}

/// Access control list of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
enum CopyAcl {
    /// The source's, treated in this way.
    Source(AclArg),
    Canned(ObjectCannedAcl),
}

impl FromStr for CopyAcl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "keep" => Ok(Self::Source(AclArg::Keep)),
            "ignore" => Ok(Self::Source(AclArg::Ignore)),
            _ if ObjectCannedAcl::values().contains(&text) => Ok(Self::Canned(text.into())),
            _ => {
                let canned = ObjectCannedAcl::values().join(", ");
                Err(format!("must be keep, ignore, or a canned ACL: {canned}"))
            }
        }
    }
}

/// Returns a parser of the texts that the SDK knows for an enum.
fn of_sdk<T: for<'a> From<&'a str> + Clone + Send + Sync + 'static>(
    values: &'static [&'static str],
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(values).map(|text| T::from(&text))
}

/// Values of `--sse`.
const SSE: [&str; 3] = ["AES256", "aws:kms", "aws:kms:dsse"];

/// Checks a value of `--sse`.
pub(crate) fn check_sse(text: &str) -> Result<(), String> {
    one_of(text, &SSE)
}

/// Checks a canned ACL.
pub(crate) fn check_canned_acl(text: &str) -> Result<(), String> {
    one_of(text, ObjectCannedAcl::values())
}

fn one_of(text: &str, values: &[&str]) -> Result<(), String> {
    match values.contains(&text) {
        true => Ok(()),
        false => Err(format!("must be one of {} (got {text:?})", values.join(", "))),
    }
}

fn canned_acl() -> impl TypedValueParser<Value = ObjectCannedAcl> {
    of_sdk(ObjectCannedAcl::values())
}

fn sse() -> impl TypedValueParser<Value = ServerSideEncryption> {
    of_sdk(&SSE)
}

fn lock_mode() -> impl TypedValueParser<Value = ObjectLockMode> {
    of_sdk(ObjectLockMode::values())
}

fn legal_hold() -> impl TypedValueParser<Value = ObjectLockLegalHoldStatus> {
    of_sdk(ObjectLockLegalHoldStatus::values())
}

fn event_hold() -> impl TypedValueParser<Value = ObjectLockEventHold> {
    of_sdk(ObjectLockEventHold::values())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copys_acl_is_its_sources_or_a_canned_one() {
        let acl = |text: &str| text.parse::<CopyAcl>();
        assert_eq!(acl("keep"), Ok(CopyAcl::Source(AclArg::Keep)));
        assert_eq!(acl("ignore"), Ok(CopyAcl::Source(AclArg::Ignore)));
        assert_eq!(
            acl("bucket-owner-full-control"),
            Ok(CopyAcl::Canned(ObjectCannedAcl::BucketOwnerFullControl))
        );
        let error = acl("public").expect_err("no ACL");
        assert!(error.starts_with("must be keep, ignore, or a canned ACL: "), "{error}");
    }
}
