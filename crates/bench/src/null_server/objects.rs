//! Objects: length and metadata only, or files in the bucket `kept`.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io,
    ops::Bound,
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
    /// Key objects, by path.
    key_objects: BTreeMap<String, Vec<u8>>,
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

    /// `true` for the path of a key object in the default key store of a bucket.
    pub(super) fn is_key_object(path: &str) -> bool {
        path.split_once("/.sealwax/keys/").is_some()
    }

    pub(super) fn put_key_object(&self, path: &str, content: Vec<u8>) {
        self.state().key_objects.insert(path.to_owned(), content);
    }

    pub(super) fn key_object(&self, path: &str) -> Option<Vec<u8>> {
        self.state().key_objects.get(path).cloned()
    }

    /// Returns the paths of up to `most` key objects that begin with `start` and follow `after`.
    pub(super) fn key_objects(&self, start: &str, after: &str, most: usize) -> Vec<String> {
        let state = self.state();
        let from = (Bound::Excluded(after), Bound::Unbounded);
        let paths = state.key_objects.range::<str, _>(from).map(|(path, _)| path);
        paths
            .skip_while(|path| path.as_str() < start)
            .take_while(|path| path.starts_with(start))
            .take(most)
            .cloned()
            .collect()
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

    /// Stores an object of one request, whose body is part 1 of `upload`.
    pub(super) fn put(&self, path: &str, upload: &str, len: u64, headers: &str) -> io::Result<()> {
        self.finish(path, upload, headers, &BTreeMap::from([(1, len)]))
    }

    /// Returns a new id of an upload.
    pub(super) fn upload_id(&self) -> String {
        let mut state = self.state();
        state.last_upload += 1;
        format!("upload{}", state.last_upload)
    }

    pub(super) fn create_upload(&self, headers: String) -> String {
        let id = self.upload_id();
        self.state().uploads.insert(id.clone(), Upload { headers, parts: BTreeMap::new() });
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

    /// Returns the kept objects whose keys begin with `prefix` and follow `after`, at most `most`, with
    /// their lengths, in order. Keys have no underscores.
    pub(super) fn list_kept(
        &self,
        prefix: &str,
        after: &str,
        most: usize,
    ) -> io::Result<Vec<(String, u64)>> {
        let start = format!("{}_", Self::KEPT);
        let mut keys = Vec::new();
        for entry in fs::read_dir(&self.store)? {
            let name = entry?.file_name().to_string_lossy().replace('_', "/");
            let key = name.strip_prefix(&start.replace('_', "/"));
            let is_meant =
                |key: &&str| key.starts_with(prefix) && *key > after && !key.ends_with(".headers");
            keys.extend(key.filter(is_meant).map(ToOwned::to_owned));
        }
        keys.sort_unstable();
        keys.truncate(most);
        let len = |key: String| {
            let file = kept_file(&self.store, &format!("{}/{key}", Self::KEPT));
            Ok((key, fs::metadata(file)?.len()))
        };
        keys.into_iter().map(len).collect()
    }

    /// Deletes the object at `path`, if it is kept.
    pub(super) fn delete(&self, path: &str) {
        if Self::is_kept(path) {
            let kept = kept_file(&self.store, path);
            // It may not exist.
            let _ = fs::remove_file(kept.with_added_extension("headers"));
            let _ = fs::remove_file(kept);
        }
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
