//! Key stores in the bucket `many`: any number of generated intermediate keys, none of which is stored.
//!
//! The key store below `k1000/` has 1,000 of them, with one key object each. The intermediate key
//! itself is all zeros, which is what this server's KMS decrypts to, so each meets its id.

use std::{fmt::Write as _, ops::Range};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sealwax_s3::envelope::KeyObject;
use sha2::Sha512;

use super::{
    http::{Answer, Body, Request},
    stats::Stats,
};
use crate::contender::KEY_ARN;

/// Number of keys on a page.
const PAGE: u64 = 1000;

/// Returns the number of intermediate keys of the key store that `key` begins with; `None` if it
/// begins with none.
fn count(key: &str) -> Option<(u64, &str)> {
    let (number, rest) = key.strip_prefix('k')?.split_once('/')?;
    Some((number.parse().ok()?, rest))
}

/// `true` if `path` is that of a key object.
pub(super) fn is_one(path: &str) -> bool {
    path.strip_prefix("/many/").is_some_and(|key| count(key).is_some())
}

/// Returns the requested page of the listing of a key store; `None` for another prefix.
pub(super) fn list(request: &Request, stats: &Stats) -> Option<Answer> {
    let prefix = request.parameter("prefix")?.replace("%2F", "/");
    let (count, rest) = count(&prefix)?;
    stats.count("ListObjectsV2");
    // The folder of one key, or all.
    let all: Range<u64> = match rest.split('/').nth(1).and_then(number_of) {
        Some(number) => number..number + 1,
        None => 0..count,
    };
    let first = request.parameter("continuation-token").and_then(|token| token.parse().ok());
    let first: u64 = first.unwrap_or(all.start);
    let end = (first + PAGE).min(all.end);
    let mut body = "<ListBucketResult><Name>many</Name><MaxKeys>1000</MaxKeys>".to_owned();
    let next = match end < all.end {
        true => format!("true</IsTruncated><NextContinuationToken>{end}</NextContinuationToken>"),
        false => "false</IsTruncated>".to_owned(),
    };
    let _ = write!(body, "<IsTruncated>{next}");
    for number in first..end {
        let _ = write!(
            body,
            "<Contents><Key>k{count}/{}</Key><LastModified>2024-01-01T00:00:00.000Z</LastModified>\
             <ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag><Size>512</Size>\
             <StorageClass>STANDARD</StorageClass></Contents>",
            parsed(number).name()
        );
    }
    body.push_str("</ListBucketResult>");
    Some(Answer::ok("application/xml", body))
}

/// Returns a key object; `None` if there is none, as under another wrapping key.
pub(super) fn object(request: &Request) -> Option<Answer> {
    let (_, name) = count(request.path.strip_prefix("/many/")?)?;
    let number = number_of(name.split('/').nth(1)?)?;
    let key_object = parsed(number);
    if key_object.name().to_string() != name {
        return None;
    }
    let text = key_object.to_json();
    let headers = format!(
        "etag: \"d41d8cd98f00b204e9800998ecf8427e\"\r\ncontent-range: bytes 0-{}/{}\r\n",
        text.len() - 1,
        text.len()
    );
    Some(Answer { status: 206, headers, body: Body::Text(text) })
}

fn parsed(number: u64) -> KeyObject {
    KeyObject::parse(content(number).as_bytes()).expect("it follows FORMAT.md")
}

/// Returns the content of a key object. (FORMAT.md, "Key store".)
fn content(number: u64) -> String {
    let mut r = [0; 16];
    r[..8].copy_from_slice(&number.to_be_bytes());
    let mut mac = Hmac::<Sha512>::new_from_slice(&[0; 32]).expect("any length");
    mac.update(&[b"sealwax/v1/intermediate-id\0".as_slice(), &r, &[1]].concat());
    let check = mac.finalize().into_bytes();
    let id = URL_SAFE_NO_PAD.encode([r.as_slice(), &check[..16]].concat());
    let ciphertext = STANDARD_NO_PAD.encode([0xa5; 184]);
    format!(
        "{{\"ciphertext\":\"{ciphertext}\",\"format\":\"v1/intermediate\",\"id\":\"{id}\",\
         \"provider\":\"aws-kms\",\"scope\":\"many/\",\"wrapping-key\":\"{KEY_ARN}\"}}"
    )
}

fn number_of(id: &str) -> Option<u64> {
    let id = URL_SAFE_NO_PAD.decode(id).ok()?;
    Some(u64::from_be_bytes(*id.first_chunk()?))
}
