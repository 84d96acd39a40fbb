//! Objects: length and metadata only, or files in the bucket `kept`.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// All objects and incomplete uploads.
pub(super) struct Objects {
    store: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Lengths and headers of discarded objects, by path.
    discarded: HashMap<String, (u64, String)>,
    uploads: HashMap<String, Upload>,
    last_upload: u64,
}

#[derive(Default)]
struct Upload {
    headers: String,
    parts: BTreeMap<u32, u64>,
}

/// Stored object.
pub(super) struct Stored {
    pub(super) len: u64,
    pub(super) headers: String,
    /// `None` if the body was discarded.
    pub(super) file: Option<File>,
}

/// Returns the file of an object in the bucket `kept`; a file with the extension `headers` has its
/// headers.
pub(crate) fn kept_file(store: &Path, path: &str) -> PathBuf {
    store.join(path.trim_start_matches('/').replace('/', "_"))
}

impl Objects {
    /// Bucket whose objects are kept.
    pub(super) const KEPT: &str = "kept";

    pub(super) fn new(store: &Path) -> Self {
        Self { store: store.to_owned(), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_kept(path: &str) -> bool {
        path.split('/').nth(1) == Some(Self::KEPT)
    }

    /// Creates the file of a part, which exists until its upload completes.
    pub(super) fn part_file(&self, upload: &str, number: u32) -> io::Result<File> {
        File::create(self.part_path(upload, number))
    }

    fn part_path(&self, upload: &str, number: u32) -> PathBuf {
        self.store.join(format!("part-{upload}-{number}"))
    }

    /// Stores an object of one request: part 1 of the upload `put`.
    pub(super) fn put(&self, path: &str, len: u64, headers: &str) -> io::Result<()> {
        self.finish(path, "put", headers, &BTreeMap::from([(1, len)]))
    }

    pub(super) fn create_upload(&self, headers: String) -> String {
        let mut state = self.state();
        state.last_upload += 1;
        let id = format!("upload{}", state.last_upload);
        state.uploads.insert(id.clone(), Upload { headers, parts: BTreeMap::new() });
        id
    }

    pub(super) fn add_part(&self, upload: &str, number: u32, len: u64) {
        self.state().uploads.entry(upload.to_owned()).or_default().parts.insert(number, len);
    }

    pub(super) fn complete_upload(&self, upload: &str, path: &str) -> io::Result<()> {
        let Upload { headers, parts } =
            self.state().uploads.remove(upload).ok_or(io::ErrorKind::NotFound)?;
        self.finish(path, upload, &headers, &parts)
    }

    fn finish(
        &self,
        path: &str,
        upload: &str,
        headers: &str,
        parts: &BTreeMap<u32, u64>,
    ) -> io::Result<()> {
        if !Self::is_kept(path) {
            self.state()
                .discarded
                .insert(path.to_owned(), (parts.values().sum(), headers.to_owned()));
            return Ok(());
        }
        let kept = kept_file(&self.store, path);
        let mut body = File::create(&kept)?;
        for number in parts.keys() {
            let part = self.part_path(upload, *number);
            io::copy(&mut File::open(&part)?, &mut body)?;
            fs::remove_file(part)?;
        }
        fs::write(kept.with_added_extension("headers"), headers)
    }

    /// Returns the object at `path`.
    pub(super) fn get(&self, path: &str) -> io::Result<Option<Stored>> {
        if !Self::is_kept(path) {
            let discarded = self.state().discarded.get(path).cloned();
            return Ok(discarded.map(|(len, headers)| Stored { len, headers, file: None }));
        }
        let kept = kept_file(&self.store, path);
        match File::open(&kept) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            file => {
                let (file, headers) =
                    (file?, fs::read_to_string(kept.with_added_extension("headers"))?);
                Ok(Some(Stored { len: file.metadata()?.len(), headers, file: Some(file) }))
            }
        }
    }
}
