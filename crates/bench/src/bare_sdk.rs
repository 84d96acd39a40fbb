//! The baseline: the SDK alone on plain bytes, with the same parts, concurrency and checksums as
//! Sealwax.

use std::{fs::File, io, os::unix::fs::FileExt as _, path::Path, sync::Arc};

use aws_config::BehaviorVersion;
use aws_sdk_s3::{
    Client,
    config::Builder,
    primitives::ByteStream,
    types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart},
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sealwax_s3::default_http_client;
use tokio::{
    io::AsyncReadExt as _,
    runtime::Runtime,
    task::{self, JoinSet},
};

use crate::Result;

/// Part length in bytes.
const PART_LEN: usize = 8 << 20;
/// Parts in memory at once: Sealwax's budget of 128 MiB.
const PUT_CONCURRENCY: usize = 16;
/// Parts fetched in parallel, as many as Sealwax fetches.
const GET_CONCURRENCY: usize = 8;

/// Uploads a file, or standard input for `-`.
pub(crate) fn put(lazy_tls: bool, file: &Path, bucket: &str, key: &str) -> Result<()> {
    Runtime::new()?.block_on(async {
        let object = Object::open(lazy_tls, bucket, key).await;
        let parts = if file.as_os_str() == "-" {
            Parts::Stdin(tokio::io::stdin())
        } else {
            Parts::file(file)?
        };
        object.put(parts).await
    })
}

/// Downloads an object to a file.
pub(crate) fn get(lazy_tls: bool, bucket: &str, key: &str, file: &Path) -> Result<()> {
    Runtime::new()?.block_on(async { Object::open(lazy_tls, bucket, key).await.get(file).await })
}

/// Client and its object.
#[derive(Clone)]
struct Object {
    s3: Client,
    bucket: String,
    key: String,
}

/// Remaining bytes to send.
enum Parts {
    File { file: Arc<File>, offset: u64, len: u64 },
    Stdin(tokio::io::Stdin),
}

/// Part, either read or to be read by a blocking thread.
enum Part {
    File { file: Arc<File>, offset: u64, len: usize },
    Read(Vec<u8>),
}

impl Object {
    async fn open(lazy_tls: bool, bucket: &str, key: &str) -> Self {
        let loader = aws_config::defaults(BehaviorVersion::v2026_01_12());
        let config = match lazy_tls {
            true => loader.http_client(default_http_client()).load().await,
            false => loader.load().await,
        };
        let s3 = Client::from_conf(Builder::from(&config).force_path_style(true).build());
        Self { s3, bucket: bucket.to_owned(), key: key.to_owned() }
    }

    async fn put(&self, mut parts: Parts) -> Result<()> {
        let (first, last) = parts.next().await?;
        if last {
            let request = self.s3.put_object().bucket(&self.bucket).key(&self.key);
            let request =
                request.checksum_algorithm(ChecksumAlgorithm::Crc64Nvme).body(read(first).await?);
            request.customize().disable_payload_signing().send().await?;
            return Ok(());
        }
        let created = self.s3.create_multipart_upload().bucket(&self.bucket).key(&self.key);
        let created = created
            .checksum_algorithm(ChecksumAlgorithm::Crc64Nvme)
            .checksum_type(ChecksumType::FullObject);
        let upload_id = created.send().await?.upload_id.ok_or("no upload id")?;
        let completed = self.put_parts(&upload_id, first, parts).await?;
        let completed = CompletedMultipartUpload::builder().set_parts(Some(completed)).build();
        let request = self
            .s3
            .complete_multipart_upload()
            .bucket(&self.bucket)
            .key(&self.key)
            .upload_id(upload_id);
        request.checksum_type(ChecksumType::FullObject).multipart_upload(completed).send().await?;
        Ok(())
    }

    async fn put_parts(
        &self,
        upload_id: &str,
        first: Part,
        mut parts: Parts,
    ) -> Result<Vec<CompletedPart>> {
        let mut sent = JoinSet::new();
        let mut completed = Vec::new();
        let (mut part, mut last) = (first, false);
        for number in 1.. {
            let (object, upload_id) = (self.clone(), upload_id.to_owned());
            sent.spawn(async move { object.put_part(upload_id, number, part).await });
            if last {
                break;
            }
            if sent.len() == PUT_CONCURRENCY {
                completed.extend(sent.join_next().await.transpose()?.transpose()?);
            }
            (part, last) = parts.next().await?;
        }
        while let Some(part) = sent.join_next().await {
            completed.push(part??);
        }
        completed.sort_by_key(|part| part.part_number);
        Ok(completed)
    }

    async fn put_part(&self, upload_id: String, number: i32, part: Part) -> Result<CompletedPart> {
        let request =
            self.s3.upload_part().bucket(&self.bucket).key(&self.key).upload_id(upload_id);
        let request = request.part_number(number).checksum_algorithm(ChecksumAlgorithm::Crc64Nvme);
        let sent =
            request.body(read(part).await?).customize().disable_payload_signing().send().await?;
        let completed = CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag);
        Ok(completed.set_checksum_crc64_nvme(sent.checksum_crc64_nvme).build())
    }

    async fn get(&self, path: &Path) -> Result<()> {
        let file = Arc::new(File::create(path)?);
        // The first response has the length.
        let first = self.s3.get_object().bucket(&self.bucket).key(&self.key);
        let first = first.range(format!("bytes=0-{}", PART_LEN - 1)).send().await?;
        let len = first
            .content_range()
            .and_then(|range| range.rsplit('/').next())
            .ok_or("no Content-Range")?;
        let offsets = (0..len.parse::<u64>()?).step_by(PART_LEN);
        let firsts = std::iter::once(Some(first.body)).chain(std::iter::repeat_with(|| None));
        stream::iter(offsets.zip(firsts))
            .map(|(offset, body)| {
                let task = tokio::spawn(self.clone().get_part(Arc::clone(&file), offset, body));
                async move { task.await? }
            })
            .buffer_unordered(GET_CONCURRENCY)
            .try_collect()
            .await
    }

    async fn get_part(self, file: Arc<File>, offset: u64, body: Option<ByteStream>) -> Result<()> {
        let mut body = match body {
            Some(body) => body,
            None => {
                let range = format!("bytes={offset}-{}", offset + PART_LEN as u64 - 1);
                self.s3
                    .get_object()
                    .bucket(self.bucket)
                    .key(self.key)
                    .range(range)
                    .send()
                    .await?
                    .body
            }
        };
        let mut bytes = Vec::with_capacity(PART_LEN);
        while let Some(frame) = body.try_next().await? {
            bytes.extend_from_slice(&frame);
        }
        Ok(task::spawn_blocking(move || file.write_all_at(&bytes, offset)).await??)
    }
}

impl Parts {
    fn file(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(Self::File { file: Arc::new(file), offset: 0, len })
    }

    /// Returns the next part, and `true` if it is the last.
    async fn next(&mut self) -> io::Result<(Part, bool)> {
        match self {
            Self::File { file, offset, len } => {
                let part_len = (*len - *offset).min(PART_LEN as u64);
                let part = Part::File {
                    file: Arc::clone(file),
                    offset: *offset,
                    len: usize::try_from(part_len).expect("no longer than a part"),
                };
                *offset += part_len;
                Ok((part, offset == len))
            }
            Self::Stdin(stdin) => {
                let mut part = vec![0; PART_LEN];
                let mut filled = 0;
                while filled < PART_LEN {
                    match stdin.read(&mut part[filled..]).await? {
                        0 => break,
                        read => filled += read,
                    }
                }
                part.truncate(filled);
                Ok((Part::Read(part), filled < PART_LEN))
            }
        }
    }
}

/// Reads a part as a body.
async fn read(part: Part) -> Result<ByteStream> {
    let bytes = match part {
        Part::Read(bytes) => bytes,
        Part::File { file, offset, len } => {
            let read = move || {
                let mut bytes = vec![0; len];
                file.read_exact_at(&mut bytes, offset).map(|()| bytes)
            };
            task::spawn_blocking(read).await??
        }
    };
    Ok(ByteStream::from(bytes))
}
