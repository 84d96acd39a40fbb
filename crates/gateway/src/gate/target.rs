//! Bucket and key that a request names.

use std::net::{IpAddr, Ipv6Addr};

use sealwax_s3::limits::MAX_KEY_LEN;

use super::{
    percent::{decode, encode_path},
    refusal::{Code, Refusal, refuse},
};
use crate::names::is_bucket_name;

/// Bucket and key of a request. There is no key without a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) bucket: Option<String>,
    pub(super) key: Option<String>,
}

impl Target {
    /// Splits the raw path, after the bucket that the host names.
    ///
    /// Nothing is normalized: of `/bucket//a/../b` the key is `/a/../b`. The path is split before it
    /// is decoded, so an encoded slash can't move the end of the bucket's name.
    pub(super) fn parse(host_bucket: Option<&str>, path: &str) -> Result<Self, Refusal> {
        let Some(path) = path.strip_prefix('/') else {
            return refuse(Code::InvalidURI, "the path must begin with a slash");
        };
        let (bucket, key) = match host_bucket {
            Some(bucket) => (bucket.to_owned(), path),
            None if path.is_empty() => return Ok(Self { bucket: None, key: None }),
            None => {
                let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
                (decode_part(bucket)?, key)
            }
        };
        if !is_bucket_name(&bucket) {
            return refuse(Code::InvalidBucketName, "the bucket name is invalid");
        }
        let key = match key {
            "" => None,
            key => Some(checked_key(decode_part(key)?)?),
        };
        Ok(Self { bucket: Some(bucket), key })
    }

    /// Returns the path-style path, encoded canonically.
    pub(super) fn path(&self) -> String {
        let bucket = self.bucket.as_deref().unwrap_or_default();
        match &self.key {
            Some(key) => format!("/{bucket}/{}", encode_path(key)),
            None => format!("/{bucket}"),
        }
    }
}

fn decode_part(part: &str) -> Result<String, Refusal> {
    match decode(part) {
        Some(part) => Ok(part),
        None => refuse(Code::InvalidURI, "the path is not percent-encoded UTF-8"),
    }
}

fn checked_key(key: String) -> Result<String, Refusal> {
    if key.len() > MAX_KEY_LEN {
        return refuse(Code::KeyTooLongError, "the key has more than 1,024 bytes");
    }
    if key.contains('\0') {
        return refuse(Code::InvalidURI, "the key contains a NUL character");
    }
    Ok(key)
}

/// Source of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CopySource {
    /// Bucket.
    pub(crate) bucket: String,
    /// Key.
    pub(crate) key: String,
    /// Version, if one is named.
    pub(crate) version_id: Option<String>,
}

impl CopySource {
    /// Parses `x-amz-copy-source`: `[/]bucket/key[?versionId=id]`, percent-encoded.
    pub(super) fn parse(header: &str) -> Result<Self, Refusal> {
        let malformed = || {
            let message = "x-amz-copy-source must be bucket/key, percent-encoded";
            Refusal::new(Code::InvalidArgument, message)
        };
        if header.starts_with("arn:") {
            return refuse(Code::NotImplemented, "sources other than buckets are not supported");
        }
        // A question mark in a key is encoded.
        let (path, version_id) = match header.split_once('?') {
            None => (header, None),
            Some((path, version)) => {
                let version = version.strip_prefix("versionId=").ok_or_else(malformed)?;
                let version = decode(version).filter(|it| !it.is_empty()).ok_or_else(malformed)?;
                (path, Some(version))
            }
        };
        // Some clients encode all slashes, so this is decoded before it is split.
        let path = decode(path).ok_or_else(malformed)?;
        let path = path.strip_prefix('/').unwrap_or(&path);
        let (bucket, key) = path.split_once('/').ok_or_else(malformed)?;
        if !is_bucket_name(bucket) {
            return refuse(Code::InvalidBucketName, "the bucket name of the source is invalid");
        }
        if key.is_empty() {
            return Err(malformed());
        }
        Ok(Self { bucket: bucket.into(), key: checked_key(key.into())?, version_id })
    }

    /// Returns the header in canonical form.
    pub(super) fn header(&self) -> String {
        let path = format!("{}/{}", self.bucket, encode_path(&self.key));
        match &self.version_id {
            Some(id) => format!("{path}?versionId={}", super::percent::encode(id)),
            None => path,
        }
    }
}

/// Returns the bucket that a host names, given the configured domains in lower case.
pub(super) fn bucket_of_host(host: &str, domains: &[String]) -> Result<Option<String>, Refusal> {
    let host = without_port(host).to_ascii_lowercase();
    let name = host.strip_suffix('.').unwrap_or(&host);
    if domains.iter().any(|domain| domain == name) {
        return Ok(None);
    }
    // The longest domain, in case one is a subdomain of another.
    let bucket_in = |domain: &String| {
        let bucket = name.strip_suffix(domain.as_str())?.strip_suffix('.')?;
        Some((domain.len(), bucket))
    };
    if let Some((_, bucket)) = domains.iter().filter_map(bucket_in).max() {
        return match is_bucket_name(bucket) {
            true => Ok(Some(bucket.into())),
            false => refuse(Code::InvalidBucketName, "the bucket name in the host is invalid"),
        };
    }
    let is_local = name == "localhost" || name.ends_with(".localhost") || is_ip(name);
    match domains.is_empty() || is_local {
        true => Ok(None),
        false => refuse(Code::InvalidRequest, "the host is in no domain of the gateway"),
    }
}

fn is_ip(name: &str) -> bool {
    let in_brackets = name.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    match in_brackets {
        Some(ip) => ip.parse::<Ipv6Addr>().is_ok(),
        None => name.parse::<IpAddr>().is_ok(),
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|it| it.is_ascii_digit()) => {
            // Colons of an IPv6 address are in brackets.
            if name.contains(':') && !name.ends_with(']') { host } else { name }
        }
        _ => host,
    }
}
