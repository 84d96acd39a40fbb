//! Reads the manifest and its files, from S3 or from local files.

use std::{
    fs::File,
    io::{self, Read, Seek as _},
    path::{Path, PathBuf},
};

use aws_sdk_s3::{Client, primitives::ByteStream};
use md5::{Digest as _, Md5};
use sealwax_s3::{Error, ErrorKind, S3Uri};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::manifest::{InventoryFile, Manifest};
use crate::{listing::ManifestLocation, s3_error::s3_error};

/// Maximum length of a manifest in bytes.
const MAX_MANIFEST_LEN: u64 = 64 << 20;
/// Most attempts to fetch a file.
const MAX_ATTEMPTS: usize = 3;

/// An inventory by the location of its manifest.
pub(super) struct Inventory<'a> {
    s3: &'a Client,
    location: &'a ManifestLocation,
}

impl<'a> Inventory<'a> {
    pub(super) fn new(s3: &'a Client, location: &'a ManifestLocation) -> Self {
        Self { s3, location }
    }

    /// Reads the manifest.
    pub(super) async fn manifest(&self) -> Result<Manifest, Error> {
        let json = match self.location {
            ManifestLocation::File(path) => {
                let path = path.clone();
                blocking(move || at_most(File::open(path)?, MAX_MANIFEST_LEN + 1))
                    .await
                    .map_err(|error| self.io(error))?
            }
            ManifestLocation::S3(uri) => {
                let mut json = Vec::new();
                let body = self.get(uri).await?;
                let body =
                    body.into_async_read().take(MAX_MANIFEST_LEN + 1).read_to_end(&mut json).await;
                body.map_err(|error| {
                    io_error(uri, "the connection was lost while the manifest was read", error)
                })?;
                json
            }
        };
        if json.len() as u64 > MAX_MANIFEST_LEN {
            return Err(self.invalid(format!("it has more than {MAX_MANIFEST_LEN} bytes")));
        }
        Manifest::parse(&json).map_err(|why| self.invalid(why))
    }

    /// Opens one of the files, and checks its length and its MD5.
    pub(super) async fn fetch(
        &self,
        manifest: &Manifest,
        file: &InventoryFile,
    ) -> Result<File, Error> {
        let local = match self.location {
            ManifestLocation::S3(_) => None,
            ManifestLocation::File(path) => local(path, &file.key),
        };
        let (rows, digest) = match (local, self.location) {
            (Some(path), _) => {
                let open = blocking(move || {
                    let mut rows = File::open(path)?;
                    let digest = md5_of(&mut rows)?;
                    Ok((rows, digest))
                });
                open.await.map_err(|error| self.io(error))?
            }
            (None, ManifestLocation::S3(uri)) => self.download(uri.bucket(), file).await?,
            (None, ManifestLocation::File(_)) => match &manifest.bucket {
                Some(bucket) => self.download(bucket, file).await?,
                None => {
                    return Err(self.invalid(format!(
                        "{} is not there, and the manifest names no bucket",
                        file.key
                    )));
                }
            },
        };
        let len = rows.metadata().map_err(|error| self.io(error))?.len();
        if len != file.size || !digest.eq_ignore_ascii_case(&file.md5) {
            let why = format!(
                "{} has {len} bytes and MD5 {digest}; it should have {} bytes and MD5 {}",
                file.key, file.size, file.md5
            );
            return Err(self.invalid(why));
        }
        Ok(rows)
    }

    /// Fetches a file into a temporary one. Returns its MD5 too.
    async fn download(&self, bucket: &str, file: &InventoryFile) -> Result<(File, String), Error> {
        let uri = S3Uri::new(bucket, &file.key).map_err(|error| self.invalid(error.to_string()))?;
        let mut attempts = 1;
        loop {
            match self.attempt_download(&uri, file.size).await {
                Err(error) if error.kind() == ErrorKind::Unavailable && attempts < MAX_ATTEMPTS => {
                    attempts += 1;
                }
                done => return done,
            }
        }
    }

    /// Fetches a file of at most `size` bytes.
    async fn attempt_download(&self, uri: &S3Uri, size: u64) -> Result<(File, String), Error> {
        let mut left = size;
        let mut body = self.get(uri).await?;
        let write_error = |error| io_error(uri, "cannot write a temporary file", error);
        let mut file = tokio::fs::File::from_std(tempfile::tempfile().map_err(write_error)?);
        let mut digest = Md5::new();
        while let Some(bytes) = body.next().await {
            let bytes = bytes.map_err(|error| {
                let message = format!("the connection was lost: {error}");
                Error::new("read", uri.to_string(), ErrorKind::Unavailable, message)
            })?;
            left = left
                .checked_sub(bytes.len() as u64)
                .ok_or_else(|| self.invalid(format!("{} has more than {size} bytes", uri.key())))?;
            digest.update(&bytes);
            file.write_all(&bytes).await.map_err(write_error)?;
        }
        file.flush().await.map_err(write_error)?;
        let mut file = file.into_std().await;
        file.rewind().map_err(write_error)?;
        Ok((file, hex(&digest.finalize())))
    }

    async fn get(&self, uri: &S3Uri) -> Result<ByteStream, Error> {
        let answer = self.s3.get_object().bucket(uri.bucket()).key(uri.key()).send().await;
        let answer = answer.map_err(|error| s3_error("read", self.s3, uri, "GetObject", &error))?;
        Ok(answer.body)
    }

    fn invalid(&self, why: impl Into<String>) -> Error {
        Error::new(
            "list",
            format!("the inventory {}", self.location),
            ErrorKind::InvalidListing,
            why,
        )
    }

    fn io(&self, error: io::Error) -> Error {
        Error::new(
            "list",
            format!("the inventory {}", self.location),
            ErrorKind::Io,
            error.to_string(),
        )
    }
}

fn io_error(uri: &S3Uri, what: &str, error: io::Error) -> Error {
    Error::new("read", uri.to_string(), ErrorKind::Io, what).with_source(error)
}

/// Finds the file with this key in a directory above the manifest, or else the file of this name
/// beside the manifest.
fn local(manifest: &Path, key: &str) -> Option<PathBuf> {
    // A key must not lead out of these directories.
    let is_plain =
        !key.starts_with('/') && key.split('/').all(|part| !matches!(part, "" | "." | ".."));
    let directories = manifest.parent()?.ancestors().filter(|_| is_plain);
    let beside =
        key.rsplit('/').next().filter(|_| is_plain).map(|name| manifest.with_file_name(name));
    directories.map(|directory| directory.join(key)).chain(beside).find(|path| path.is_file())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

fn at_most(file: File, len: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(len).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn md5_of(file: &mut File) -> io::Result<String> {
    let mut digest = Md5::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => digest.update(&buffer[..read]),
        }
    }
    file.rewind()?;
    Ok(hex(&digest.finalize()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
