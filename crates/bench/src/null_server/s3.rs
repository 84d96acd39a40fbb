//! S3 requests that put and get one object.

use std::{io, ops::Range};

use super::{
    generated_keys, generated_objects,
    http::{Answer, Body, Connection, Request},
    objects::{Objects, Stored},
    stats::Stats,
};

/// Entity tag of every object. It has the form of a multipart upload's, so that no client compares
/// it with the body's MD5.
const E_TAG: &str = "etag: \"d41d8cd98f00b204e9800998ecf8427e-1\"\r\n";
const LAST_MODIFIED: &str = "last-modified: Mon, 01 Jan 2024 00:00:00 GMT\r\n";

/// Number of keys on a page.
const PAGE: usize = 1000;

pub(super) fn answer(
    request: &Request,
    connection: &mut Connection,
    objects: &Objects,
    stats: &Stats,
) -> io::Result<Answer> {
    let (bucket, key) = request.path[1..].split_once('/').unwrap_or((&request.path[1..], ""));
    if key.is_empty() {
        if request.method == "POST" && request.parameter("delete").is_some() {
            return delete_all(request, connection, objects, stats, bucket);
        }
        connection.discard(request.body_len()?)?;
        if bucket == Objects::KEPT
            && request.method == "GET"
            && request.parameter("list-type").is_some()
        {
            return list_kept(request, objects, stats);
        }
        if bucket == generated_objects::BUCKET
            && request.method == "GET"
            && request.parameter("list-type").is_some()
        {
            let keys = generated_keys::list(request, stats);
            let keys = keys.or_else(|| list_key_objects(request, objects, stats));
            return Ok(keys.unwrap_or_else(|| generated_objects::list(request, stats)));
        }
        return Ok(of_bucket(request, bucket, stats));
    }
    let upload = request.parameter("uploadId");
    match (request.method.as_str(), upload) {
        ("PUT", None) if request.header("x-amz-copy-source").is_some() => {
            stats.count("CopyObject");
            connection.discard(request.body_len()?)?;
            let body = "<CopyObjectResult><LastModified>2024-01-01T00:00:00.000Z</LastModified>\
                        <ETag>&quot;d41d8cd98f00b204e9800998ecf8427e-1&quot;</ETag></CopyObjectResult>";
            Ok(Answer::ok("application/xml", body.into()))
        }
        ("PUT", None) => {
            stats.count("PutObject");
            if Objects::is_key_object(&request.path) {
                let content = connection.body(request.body_len()?)?;
                objects.put_key_object(&request.path, content);
                return Ok(Answer::empty(200, stored(request)));
            }
            let id = objects.upload_id();
            let len = take_body(request, connection, objects, stats, bucket, &id, 1)?;
            if generated_keys::is_one(&request.path) {
                return Ok(Answer::empty(200, stored(request)));
            }
            objects.put(&request.path, &id, len, &kept_headers(request))?;
            Ok(Answer::empty(200, stored(request)))
        }
        ("PUT", Some(upload)) => {
            stats.count("UploadPart");
            let number = request.parameter("partNumber").and_then(|number| number.parse().ok());
            let number = number.ok_or_else(|| io::Error::other("no part number"))?;
            let len = take_body(request, connection, objects, stats, bucket, upload, number)?;
            objects.add_part(upload, number, len);
            Ok(Answer::empty(200, stored(request)))
        }
        ("POST", None) if request.parameter("uploads").is_some() => {
            stats.count("CreateMultipartUpload");
            connection.discard(request.body_len()?)?;
            let upload = objects.create_upload(kept_headers(request));
            let body = format!(
                "<InitiateMultipartUploadResult><Bucket>{bucket}</Bucket><Key>{key}</Key>\
                 <UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
            );
            Ok(Answer::ok("application/xml", body))
        }
        ("POST", Some(upload)) => {
            stats.count("CompleteMultipartUpload");
            connection.discard(request.body_len()?)?;
            objects.complete_upload(upload, &request.path)?;
            let body = format!(
                "<CompleteMultipartUploadResult><Bucket>{bucket}</Bucket><Key>{key}</Key>\
                 <ETag>&quot;d41d8cd98f00b204e9800998ecf8427e-1&quot;</ETag></CompleteMultipartUploadResult>"
            );
            Ok(Answer::ok("application/xml", body))
        }
        ("DELETE", _) => {
            stats.count(if upload.is_some() { "AbortMultipartUpload" } else { "DeleteObject" });
            if upload.is_none() {
                objects.delete(&request.path);
            }
            Ok(Answer::empty(204, String::new()))
        }
        ("HEAD" | "GET", None) => read(request, objects, stats),
        (method, _) => Err(io::Error::other(format!("{method} {} is not served", request.path))),
    }
}

/// Reads the body of an object or a part; returns its length.
fn take_body(
    request: &Request,
    connection: &mut Connection,
    objects: &Objects,
    stats: &Stats,
    bucket: &str,
    upload: &str,
    number: u32,
) -> io::Result<u64> {
    if request.is_chunked() && bucket != Objects::KEPT {
        let sent = connection.discard_chunks()?;
        stats.add("bytes_in", sent);
        return Ok(sent);
    }
    let sent = request.body_len()?;
    stats.add("bytes_in", sent);
    let decoded = request.header("x-amz-decoded-content-length").and_then(|len| len.parse().ok());
    if bucket != Objects::KEPT {
        connection.discard(sent)?;
        return Ok(decoded.unwrap_or(sent));
    }
    if decoded.is_some() {
        return Err(io::Error::other("bodies in the encoding aws-chunked are not kept"));
    }
    connection.save(sent, &mut objects.part_file(upload, number)?)?;
    Ok(sent)
}

fn read(request: &Request, objects: &Objects, stats: &Stats) -> io::Result<Answer> {
    let head = request.method == "HEAD";
    stats.count(if head { "HeadObject" } else { "GetObject" });
    if generated_keys::is_one(&request.path) {
        let found = generated_keys::object(request);
        return Ok(found.unwrap_or_else(|| Answer::error(404, "NoSuchKey")));
    }
    if Objects::is_key_object(&request.path) {
        let found = objects.key_object(&request.path);
        return Ok(found.map_or_else(|| Answer::error(404, "NoSuchKey"), key_object));
    }
    let stored = match request.path.starts_with("/many/") {
        true => generated_objects::object(&request.path, objects)?,
        false => objects.get(&request.path)?,
    };
    let Some(Stored { len, headers, file }) = stored else {
        return Ok(Answer::error(404, "NoSuchKey"));
    };
    let headers = format!("{headers}{E_TAG}{LAST_MODIFIED}accept-ranges: bytes\r\n");
    let (status, range, headers) = match request.header("range") {
        None => (200, 0..len, headers),
        Some(header) => match range(header, len) {
            None => return Ok(Answer::error(416, "InvalidRange")),
            Some(range) => {
                let line =
                    format!("content-range: bytes {}-{}/{len}\r\n", range.start, range.end - 1);
                (206, range, headers + &line)
            }
        },
    };
    let body = match file {
        Some(file) if !head => {
            stats.add("bytes_out", range.end - range.start);
            Body::File(file, range)
        }
        _ => Body::Unsent(range.end - range.start),
    };
    Ok(Answer { status, headers, body })
}

/// Deletes the objects that the request names.
fn delete_all(
    request: &Request,
    connection: &mut Connection,
    objects: &Objects,
    stats: &Stats,
    bucket: &str,
) -> io::Result<Answer> {
    stats.count("DeleteObjects");
    let body = connection.body(request.body_len()?)?;
    let body = String::from_utf8(body).map_err(io::Error::other)?;
    let mut answer = String::from("<DeleteResult>");
    for key in body.split("<Key>").skip(1).filter_map(|rest| rest.split_once("</Key>")) {
        objects.delete(&format!("/{bucket}/{}", key.0));
        answer += &format!("<Deleted><Key>{}</Key></Deleted>", key.0);
    }
    Ok(Answer::ok("application/xml", answer + "</DeleteResult>"))
}

/// Returns the requested page of the listing of kept objects.
fn list_kept(request: &Request, objects: &Objects, stats: &Stats) -> io::Result<Answer> {
    stats.count("ListObjectsV2");
    let text = |name| request.parameter(name).unwrap_or_default().replace("%2F", "/");
    let (prefix, after) = (text("prefix"), text("continuation-token"));
    let found = objects.list_kept(&prefix, &after, PAGE)?;
    let mut body = format!(
        "<ListBucketResult><Name>{}</Name><Prefix>{prefix}</Prefix><KeyCount>{}</KeyCount>\
         <MaxKeys>{PAGE}</MaxKeys>",
        Objects::KEPT,
        found.len()
    );
    body += &match found.last().filter(|_| found.len() == PAGE) {
        Some((last, _)) => format!(
            "<IsTruncated>true</IsTruncated><NextContinuationToken>{last}</NextContinuationToken>"
        ),
        None => "<IsTruncated>false</IsTruncated>".to_owned(),
    };
    for (key, len) in found {
        body += &listed(&key, len);
    }
    Ok(Answer::ok("application/xml", body + "</ListBucketResult>"))
}

fn listed(key: &str, len: u64) -> String {
    format!(
        "<Contents><Key>{key}</Key><LastModified>2024-01-01T00:00:00.000Z</LastModified>\
         <ETag>&quot;d41d8cd98f00b204e9800998ecf8427e-1&quot;</ETag><Size>{len}</Size>\
         <StorageClass>STANDARD</StorageClass></Contents>"
    )
}

fn key_object(content: Vec<u8>) -> Answer {
    let len = content.len();
    let headers = format!("{E_TAG}{LAST_MODIFIED}content-range: bytes 0-{}/{len}\r\n", len - 1);
    let text = String::from_utf8_lossy(&content).into_owned();
    Answer { status: 206, headers, body: Body::Text(text) }
}

/// Returns the requested page of the listing of key objects; `None` for another prefix.
fn list_key_objects(request: &Request, objects: &Objects, stats: &Stats) -> Option<Answer> {
    let prefix = request.parameter("prefix")?.replace("%2F", "/");
    let start = format!("/{}/{prefix}", generated_objects::BUCKET);
    if !Objects::is_key_object(&start) {
        return None;
    }
    stats.count("ListObjectsV2");
    let after = request.parameter("continuation-token").unwrap_or_default().replace("%2F", "/");
    let most = request.parameter("max-keys").and_then(|most| most.parse().ok()).unwrap_or(PAGE);
    let paths = objects.key_objects(&start, &after, most);
    let mut body = format!("<ListBucketResult><MaxKeys>{most}</MaxKeys>");
    match paths.last().filter(|_| paths.len() == most) {
        Some(last) => {
            body += &format!(
                "<IsTruncated>true</IsTruncated><NextContinuationToken>{last}</NextContinuationToken>"
            );
        }
        None => body += "<IsTruncated>false</IsTruncated>",
    }
    for path in &paths {
        let key = &path[generated_objects::BUCKET.len() + 2..];
        body += &listed(key, 512);
    }
    body += "</ListBucketResult>";
    Some(Answer::ok("application/xml", body))
}

/// `bytes=1-2`, `bytes=1-` or `bytes=-2`, end inclusive, of a body of `len` bytes.
fn range(header: &str, len: u64) -> Option<Range<u64>> {
    let (first, last) = header.strip_prefix("bytes=")?.split_once('-')?;
    let range = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) => first..last.saturating_add(1).min(len),
        (Ok(first), Err(_)) => first..len,
        (Err(_), Ok(suffix)) => len.saturating_sub(suffix)..len,
        _ => return None,
    };
    (range.start < range.end).then_some(range)
}

/// Returns the headers that S3 stores with an object, as lines.
fn kept_headers(request: &Request) -> String {
    let kept = |name: &str| name.starts_with("x-amz-meta-") || name == "content-type";
    request
        .headers()
        .filter(|(name, _)| kept(name))
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect()
}

/// Returns the response headers for a stored body, which repeat its checksum.
fn stored(request: &Request) -> String {
    let checksums = request.headers().filter(|(name, _)| name.starts_with("x-amz-checksum-"));
    checksums.fold(E_TAG.to_owned(), |lines, (name, value)| lines + &format!("{name}: {value}\r\n"))
}

fn of_bucket(request: &Request, bucket: &str, stats: &Stats) -> Answer {
    let body = match request.method.as_str() {
        "GET" if request.parameter("location").is_some() => "<LocationConstraint/>".to_owned(),
        "GET" if request.parameter("ownershipControls").is_some() => {
            stats.count("GetBucketOwnershipControls");
            "<OwnershipControls><Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule></OwnershipControls>"
                .to_owned()
        }
        "GET" => format!(
            "<ListBucketResult><Name>{bucket}</Name><KeyCount>0</KeyCount><MaxKeys>1000</MaxKeys>\
             <IsTruncated>false</IsTruncated></ListBucketResult>"
        ),
        _ => String::new(),
    };
    Answer::ok("application/xml", body)
}
