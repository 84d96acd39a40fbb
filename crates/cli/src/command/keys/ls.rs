//! `sealwax keys ls`.

use std::collections::BTreeMap;

use sealwax_s3::StoredKey;
use serde::Serialize;

use super::{Store, args::KeysLsArgs, name_of, newest, provider_and_name};
use crate::{
    args::WrapKey,
    console::Lines,
    failure::Failure,
    interrupt::unless_stopped,
    session::Session,
    terminal_text::{Counted, Printable},
};

/// Line of one intermediate key. Field names are stable JSON output.
#[derive(Debug, Serialize)]
struct Line {
    /// Folder of its key objects, in the key store.
    key: String,
    id: String,
    key_objects: u64,
    /// Time of the newest key object, as in RFC 3339.
    newest: Option<String>,
    /// Wrapping keys of the arguments that it has key objects of, by their names.
    claims: Vec<String>,
    /// The other wrapping keys of the arguments.
    lacks: Vec<String>,
}

/// Counts. Field names are stable JSON output.
#[derive(Debug, Default, Serialize)]
struct Counts {
    keys: u64,
    key_objects: u64,
    /// Objects below the prefix that are no key objects, by their names.
    strays: u64,
    /// Intermediate keys that lack each of the wrapping keys of the arguments.
    lacking: BTreeMap<String, u64>,
}

/// Lists the intermediate keys of a key store.
pub(super) async fn run(session: &Session, args: KeysLsArgs) -> Result<(), Failure> {
    let mut wanted = args.keys.clone();
    if let Some(local) = session.keyrings().local() {
        wanted.push(WrapKey::Local(local.name().to_owned()));
    }
    let store = Store::open(session, &args.bucket, session.keyrings().empty())?;
    let (mut lines, mut counts) = (Lines::new(), Counts::default());
    let names = wanted.iter().map(|key| (provider_and_name(key).1.to_owned(), 0));
    counts.lacking = names.collect();
    let mut listing = store.keys.list();
    let listed = unless_stopped(async {
        while let Some(key) = listing.next_key().await? {
            let line = Line::new(&key, &wanted);
            counts.record(&line);
            if args.lacking && line.lacks.is_empty() {
                continue;
            }
            if args.json {
                lines.json(&line)?;
            } else {
                lines.line(line.text())?;
            }
            if lines.is_closed() {
                break;
            }
        }
        Ok::<_, Failure>(())
    })
    .await;
    counts.strays = listing.strays();
    if args.json && matches!(listed, Ok(Ok(()))) {
        lines.json(&serde_json::json!({ "summary": &counts }))?;
    }
    lines.finish()?;
    listed.map_err(|signal| Failure::stopped(signal, "the listing is incomplete"))??;
    session.say(counts.text(&store.address()));
    Ok(())
}

impl Line {
    fn new(key: &StoredKey, wanted: &[WrapKey]) -> Self {
        let (claims, lacks): (Vec<_>, Vec<_>) = wanted
            .iter()
            .map(provider_and_name)
            .partition(|(provider, name)| key.claims(provider, name));
        let names =
            |keys: Vec<(&str, &str)>| keys.into_iter().map(|(_, name)| name.to_owned()).collect();
        Self {
            key: name_of(key),
            id: key.id().to_string(),
            key_objects: key.key_objects(),
            newest: newest(key),
            claims: names(claims),
            lacks: names(lacks),
        }
    }

    fn text(&self) -> String {
        let newest = self.newest.as_deref().unwrap_or("(unknown)");
        let mut text = format!("{newest:<20} {:>6}  {}", self.key_objects, self.key);
        if !self.lacks.is_empty() {
            text.push_str(&format!("  lacks {}", Printable(&self.lacks.join(", "))));
        }
        text
    }
}

impl Counts {
    fn record(&mut self, line: &Line) {
        self.keys += 1;
        self.key_objects += line.key_objects;
        for name in &line.lacks {
            *self.lacking.entry(name.clone()).or_default() += 1;
        }
    }

    fn text(&self, address: &str) -> String {
        if self.keys == 0 {
            return format!("no key objects in {address}");
        }
        let (keys, objects) =
            (Counted(self.keys, "intermediate key"), Counted(self.key_objects, "key object"));
        let mut text = format!("{keys}, {objects} in {address}");
        for (name, count) in &self.lacking {
            text.push_str(&format!("; {count} without {name}"));
        }
        if self.strays > 0 {
            text.push_str(&format!("; {} there", Counted(self.strays, "other object")));
        }
        text
    }
}
