//! The stored list of wrapped keys, as text that a writer edits. (FORMAT.md, "Wrapped data keys".)

use serde_json::{Value, json};

/// A wrapped key: provider, wrapping key and ciphertext in base64.
pub(crate) type Key = [String; 3];

/// Wrapped keys with one binding.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) place: Option<String>,
    pub(crate) scope: Option<usize>,
    pub(crate) intermediate: Option<String>,
    pub(crate) data_key: Option<String>,
    pub(crate) keys: Vec<Key>,
}

/// The groups of an object, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KeyList(pub(crate) Vec<Group>);

impl Group {
    /// Returns the group of keys that wrap the data key itself at `place`.
    pub(crate) fn direct(place: &str, keys: impl IntoIterator<Item = Key>) -> Self {
        let keys = keys.into_iter().collect();
        Self { place: Some(place.to_owned()), keys, ..Self::default() }
    }

    /// `true` if the keys wrap an intermediate key.
    pub(crate) fn is_shared(&self) -> bool {
        self.intermediate.is_some()
    }

    fn has_same_binding(&self, other: &Self) -> bool {
        let binding = |it: &Self| Self { keys: Vec::new(), ..it.clone() };
        binding(self) == binding(other)
    }

    fn to_json(&self) -> String {
        let text = |name: &str, value: &Option<String>| {
            value.as_ref().map(|value| format!("\"{name}\":{}", json!(value)))
        };
        let members = [
            text("place", &self.place),
            self.scope.map(|scope| format!("\"scope\":{scope}")),
            text("intermediate", &self.intermediate),
            text("data-key", &self.data_key),
            Some(format!("\"keys\":{}", json!(self.keys))),
        ];
        format!("{{{}}}", members.into_iter().flatten().collect::<Vec<_>>().join(","))
    }

    fn of_json(group: &Value) -> Self {
        let text = |name: &str| group[name].as_str().map(str::to_owned);
        let keys = group["keys"].as_array().expect("keys").iter();
        let key = |key: &Value| [0, 1, 2].map(|at| key[at].as_str().expect("text").to_owned());
        Self {
            place: text("place"),
            scope: group["scope"].as_u64().map(|scope| scope.try_into().expect("a length")),
            intermediate: text("intermediate"),
            data_key: text("data-key"),
            keys: keys.map(key).collect(),
        }
    }
}

impl KeyList {
    /// Parses the value of `sealwax-keys`.
    pub(crate) fn parse(text: &str) -> Self {
        let groups: Vec<Value> = serde_json::from_str(text).expect("a list of groups");
        Self(groups.iter().map(Group::of_json).collect())
    }

    /// Returns the canonical text: neighbours with one binding are one group, and none is empty.
    pub(crate) fn to_json(&self) -> String {
        let mut groups: Vec<Group> = Vec::new();
        for group in self.0.iter().filter(|group| !group.keys.is_empty()) {
            match groups.last_mut() {
                Some(last) if last.has_same_binding(group) => last.keys.extend(group.keys.clone()),
                _ => groups.push(group.clone()),
            }
        }
        format!("[{}]", groups.iter().map(Group::to_json).collect::<Vec<_>>().join(","))
    }

    /// Returns the list with each group at `place` instead of its own.
    pub(crate) fn at(mut self, place: &str) -> Self {
        self.0.iter_mut().for_each(|group| group.place = Some(place.to_owned()));
        self
    }

    /// Returns the list with the wrapped keys under `arn` alone.
    pub(crate) fn only(mut self, arn: &str) -> Self {
        self.0.iter_mut().for_each(|group| group.keys.retain(|key| key[1] == arn));
        self
    }

    /// Returns the group with a wrapped key under `arn`, and the position of that key.
    pub(crate) fn find(&mut self, arn: &str) -> (&mut Group, usize) {
        let has = |group: &Group| group.keys.iter().position(|key| key[1] == arn);
        let group = self.0.iter_mut().find(|group| has(group).is_some()).expect("the key");
        let at = has(group).expect("found");
        (group, at)
    }

    /// Returns the first group whose keys wrap an intermediate key.
    pub(crate) fn shared(&mut self) -> &mut Group {
        self.0.iter_mut().find(|group| group.is_shared()).expect("an intermediate key")
    }

    /// Returns the list with `groups` before its own.
    pub(crate) fn after(mut self, groups: Vec<Group>) -> Self {
        self.0.splice(0..0, groups);
        self
    }

    /// Returns the list with `groups` behind its own.
    pub(crate) fn before(mut self, groups: Vec<Group>) -> Self {
        self.0.extend(groups);
        self
    }
}
