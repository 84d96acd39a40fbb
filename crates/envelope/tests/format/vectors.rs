//! The files in `tests/vectors`, one for each case.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    cases::{self, Case},
    construct::wrapping_key,
    library,
};

/// One file. `tests/vectors/README.md` describes its members.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Vector {
    pub(crate) name: String,
    pub(crate) shows: String,
    pub(crate) musts: Vec<String>,
    pub(crate) wrapping_keys: BTreeMap<String, String>,
    pub(crate) places: Option<Vec<String>>,
    pub(crate) metadata: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) announced: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sidecar: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sidecars: Option<bool>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub(crate) key_objects: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key_store: Option<bool>,
    pub(crate) body: String,
    pub(crate) expect: String,
    pub(crate) released: Released,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Released {
    length: usize,
    sha256: String,
}

impl Released {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self { length: bytes.len(), sha256: hex::encode(Sha256::digest(bytes)) }
    }
}

impl Vector {
    fn of(case: Case) -> Self {
        Self {
            name: case.name.into(),
            shows: case.shows.into(),
            musts: case.musts.iter().map(|must| (*must).to_owned()).collect(),
            wrapping_keys: BTreeMap::from([("first".into(), hex::encode(wrapping_key("first")))]),
            places: case.stored.places,
            metadata: case.stored.metadata,
            announced: case.stored.announced,
            sidecar: case.stored.sidecar,
            sidecars: (!case.stored.sidecars).then_some(false),
            key_objects: case.stored.key_objects,
            key_store: (!case.stored.key_store).then_some(false),
            body: STANDARD.encode(case.stored.body),
            expect: case.expect,
            released: Released::of(&case.released),
        }
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        STANDARD.decode(&self.body).expect("base64")
    }

    /// Returns the sidecar, if the reader reads sidecars.
    pub(crate) fn sidecar(&self) -> Option<&str> {
        self.sidecar.as_deref().filter(|_| self.sidecars != Some(false))
    }

    /// Returns the content of a key object, if the reader reads key objects.
    pub(crate) fn key_object(&self, name: &str) -> Option<&str> {
        self.key_objects.get(name).map(String::as_str).filter(|_| self.key_store != Some(false))
    }

    fn to_text(&self) -> String {
        serde_json::to_string_pretty(self).expect("plain data") + "\n"
    }
}

pub(crate) fn directory() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors"))
}

/// Returns the files by name.
fn files() -> BTreeMap<String, String> {
    let entries =
        fs::read_dir(directory()).expect("the vectors").map(|entry| entry.expect("a file").path());
    let files =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    let name = |path: &PathBuf| path.file_stem().expect("a name").to_string_lossy().into_owned();
    files.map(|path| (name(&path), fs::read_to_string(path).expect("text"))).collect()
}

pub(crate) fn stored() -> Vec<Vector> {
    files().values().map(|text| serde_json::from_str(text).expect("a vector")).collect()
}

#[test]
fn the_files_equal_the_cases_byte_for_byte() {
    let made: Vec<_> = cases::all().into_iter().map(Vector::of).collect();
    let count = made.len();
    let made: BTreeMap<_, _> =
        made.into_iter().map(|vector| (vector.name.clone(), vector.to_text())).collect();
    assert_eq!(made.len(), count, "two cases have one name");
    if std::env::var_os("SEALWAX_WRITE_VECTORS").is_some() {
        files().keys().for_each(|name| {
            fs::remove_file(directory().join(format!("{name}.json"))).expect("removed");
        });
        let write = |(name, text): (&String, &String)| {
            fs::write(directory().join(format!("{name}.json")), text)
        };
        made.iter().for_each(|vector| write(vector).expect("written"));
    }
    let files = files();
    let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&made), names(&files));
    for (name, text) in made {
        assert!(
            files[&name] == text,
            "{name}.json differs: tests/vectors/README.md says how to write it"
        );
    }
}

#[test]
fn the_library_reads_each_vector_as_expected() {
    let mut differences = Vec::new();
    for vector in stored() {
        for cached in [false, true] {
            let (outcome, released) = library::read(&vector, cached);
            let released = Released::of(&released);
            if (&outcome, &released) != (&vector.expect, &vector.released) {
                differences.push(format!(
                    "{}, cached: {cached}: {outcome} and {released:?}, not {} and {:?}",
                    vector.name, vector.expect, vector.released
                ));
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
