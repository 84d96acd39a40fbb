//! `sealwax keys inspect`.

use sealwax_s3::{StoredKey, envelope::EncryptedDataKey};
use serde::Serialize;

use super::{Binding, Store, args::KeysInspectArgs, name_of, newest};
use crate::{
    console::Lines,
    failure::Failure,
    interrupt::unless_stopped,
    session::Session,
    terminal_text::{Counted, Printable},
};

/// An intermediate key. Field names are stable JSON output.
#[derive(Debug, Serialize)]
struct Shown {
    key: String,
    id: String,
    /// Always `false`: no key was used.
    authenticated: bool,
    newest: Option<String>,
    key_objects: u64,
    /// Objects with the name of a key object that are none, or that no reader looks at.
    unusable: u64,
    forms: Vec<Form>,
}

/// A wrapped form. Field names are stable JSON output.
#[derive(Debug, Serialize)]
struct Form {
    provider: String,
    wrapping_key: String,
    #[serde(flatten)]
    binding: Binding,
}

/// Shows the wrapped forms of intermediate keys.
pub(super) async fn run(session: &Session, args: KeysInspectArgs) -> Result<(), Failure> {
    let store = Store::open(session, &args.bucket, session.keyrings().empty())?;
    let mut lines = Lines::new();
    let shown = unless_stopped(async {
        for key in store.find(&args.ids).await? {
            let shown = Shown::new(&key, &store.keys.inspect(&key).await?);
            if args.json { lines.json(&shown)? } else { lines.text(&shown.text())? }
        }
        Ok::<_, Failure>(())
    })
    .await;
    lines.finish()?;
    shown.map_err(|signal| Failure::stopped(signal, "not all keys were shown"))?
}

impl Shown {
    fn new(key: &StoredKey, forms: &[EncryptedDataKey]) -> Self {
        let key_objects = key.key_objects();
        let form = |form: &EncryptedDataKey| Form {
            provider: form.provider().to_owned(),
            wrapping_key: form.wrapping_key().to_owned(),
            binding: Binding::of(form),
        };
        Self {
            key: name_of(key),
            id: key.id().to_string(),
            authenticated: false,
            newest: newest(key),
            key_objects,
            unusable: key_objects.saturating_sub(forms.len() as u64),
            forms: forms.iter().map(form).collect(),
        }
    }

    fn text(&self) -> String {
        let mut text = format!("{}\n", self.key);
        if let Some(newest) = &self.newest {
            text.push_str(&format!("  newest key object {newest}\n"));
        }
        for form in &self.forms {
            text.push_str(&format!("  {}\n", Printable(&form.wrapping_key)));
            text.push_str(&format!("    provider {}\n", Printable(&form.provider)));
            text.push_str(&format!("    {}\n", Printable(&form.binding.text())));
        }
        if self.unusable > 0 {
            text.push_str(&format!(
                "  {} that readers ignore\n",
                Counted(self.unusable, "key object")
            ));
        }
        text.push_str("Not authenticated: no key was used. This is what the key objects claim.\n");
        text
    }
}
