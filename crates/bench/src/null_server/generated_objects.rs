//! Bucket `many`: any number of generated sealed objects, none of which is stored.
//!
//! The prefix `n1000/` has 1,000 objects. Each is a copy of the object `template`, which the client
//! puts beforehand, except that its wrapped keys are bound to its own place.
//!
//! The prefix `n1000of10/` has 1,000 objects too. They are copies of the objects `templates/0` to
//! `templates/9`, in turn, which the client puts beforehand without binding them to a place.

use std::fmt::Write as _;

use super::{
    http::{Answer, Request},
    objects::{Objects, Stored},
    stats::Stats,
};

pub(super) const BUCKET: &str = "many";
const TEMPLATE: &str = "/many/template";
/// Number of objects on a page.
const PAGE: u64 = 1000;

/// Returns the requested page of a listing.
pub(super) fn list(request: &Request, stats: &Stats) -> Answer {
    stats.count("ListObjectsV2");
    let prefix = request.parameter("prefix").unwrap_or_default().replace("%2F", "/");
    let count = Many::parse(&prefix).map_or(0, |many| many.count);
    let first: u64 = request
        .parameter("continuation-token")
        .and_then(|token| token.parse().ok())
        .unwrap_or_default();
    let end = (first + PAGE).min(count);
    let mut body = format!("<ListBucketResult><Name>{BUCKET}</Name><MaxKeys>{PAGE}</MaxKeys>");
    if end < count {
        let _ = write!(
            body,
            "<IsTruncated>true</IsTruncated><NextContinuationToken>{end}</NextContinuationToken>"
        );
    } else {
        body.push_str("<IsTruncated>false</IsTruncated>");
    }
    for number in first..end {
        let _ = write!(
            body,
            "<Contents><Key>{prefix}{number:08}</Key><LastModified>2024-01-01T00:00:00.000Z</LastModified>\
             <ETag>&quot;d41d8cd98f00b204e9800998ecf8427e-1&quot;</ETag><Size>1096</Size>\
             <StorageClass>STANDARD</StorageClass></Contents>"
        );
    }
    body.push_str("</ListBucketResult>");
    Answer::ok("application/xml", body)
}

/// Objects below one prefix.
struct Many {
    count: u64,
    /// Number of their templates, unless it is one that is bound to its place.
    templates: Option<u64>,
}

impl Many {
    fn parse(key: &str) -> Option<Self> {
        let (prefix, _) = key.strip_prefix('n')?.split_once('/')?;
        let (count, templates) = match prefix.split_once("of") {
            Some((count, templates)) => (count, Some(templates.parse().ok()?)),
            None => (prefix, None),
        };
        Some(Self { count: count.parse().ok()?, templates })
    }
}

/// Returns one of the objects.
pub(super) fn object(path: &str, objects: &Objects) -> std::io::Result<Option<Stored>> {
    let key = &path["/many/".len()..];
    let Some(many) = Many::parse(key) else { return objects.get(path) };
    if let Some(templates) = many.templates {
        let number: u64 =
            key.rsplit('/').next().and_then(|name| name.parse().ok()).unwrap_or_default();
        return objects.get(&format!("/many/templates/{}", number % templates));
    }
    let place = |path: &str| format!("\"place\":\"{}\"", &path[1..]);
    let placed = |stored: Stored| Stored {
        headers: stored.headers.replace(&place(TEMPLATE), &place(path)),
        ..stored
    };
    Ok(objects.get(TEMPLATE)?.map(placed))
}
