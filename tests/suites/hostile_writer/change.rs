//! Changes that a writer to the bucket can make to an object.

use bytes::Bytes;
use sealwax_tests::{Random, Stored};

use crate::{
    key_list::{Group, KeyList},
    loot::{Loot, keys_of, named},
    scene::{Kind, Name, Scene},
};

/// One change. `held.rs` says what each leaves of the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Change {
    /// No change: the control.
    Nothing,
    /// New is among the keys, genuinely: another control.
    NewGenuine,

    // Wrapped keys of names that the object lacks.
    ForeignGarbage,
    /// A data key of the attacker's own, for the object's binding.
    ForeignGenuine,
    /// An intermediate key of the attacker's own, for the binding of the object's.
    ForeignIntermediate,
    NewGarbage,
    NewByStrangers,

    // Wrapped keys of names that the object has.
    EastByStrangersFirst,
    WestByStrangersFirst,
    /// In the intermediate key's group.
    IntermediateByStrangersFirst,
    EastReplacedByStrangers,
    EastGarbageFirst,
    EastCut,
    EastRemoved,
    Swapped,
    Reordered,

    // Wrapped keys of other bodies.
    /// The older version's under East. (More would not fit beside new ones.)
    OlderKeyFirst,
    OlderKeysOnly,
    /// Another object's under East, with this object's place.
    OtherKeyFirst,
    OtherKeysOnly,
    /// Another object's under East, at its own place.
    OtherKeyElsewhere,

    // Parts of an intermediate key's group.
    OtherId,
    /// The check in the id, without the random part.
    ForgedId,
    OtherScope,
    OtherDataKey,

    // Other metadata.
    NoPlace,
    OtherPlace,
    OlderHeader,
    OtherContext,
    LongerLength,
    LaterGeneration,
    LastGeneration,
    /// A list of missing keys that names the attacker's.
    MissingForeign,
    NoFormat,
    OtherFormat,
    NoKeys,

    // Companions.
    /// The older version's sidecar.
    SidecarStale,
    /// The sidecar of another object.
    SidecarOfOther,
    SidecarForeign,
    SidecarNewByStrangers,
    SidecarDamaged,
    /// The genuine wrapped key under West is in the sidecar alone.
    SidecarHoldsWest,
    InstructionFile,

    // Mixes of two objects or versions.
    OlderMetadata,
    OtherMetadata,
    OlderObject,
    OtherObject,
    /// An object of the S3 Encryption Client.
    S3ecObject,
    BodyFlipped,
    OlderBody,
    BodyCut,
}

/// Objects after a change.
#[derive(Debug, Clone)]
pub(crate) struct Tampered {
    pub(crate) object: Stored,
    pub(crate) sidecar: Option<Bytes>,
    pub(crate) instruction_file: Option<Bytes>,
}

impl Change {
    /// All changes.
    pub(crate) const ALL: [Self; 51] = {
        use Change::*;
        [
            Nothing,
            NewGenuine,
            ForeignGarbage,
            ForeignGenuine,
            ForeignIntermediate,
            NewGarbage,
            NewByStrangers,
            EastByStrangersFirst,
            WestByStrangersFirst,
            IntermediateByStrangersFirst,
            EastReplacedByStrangers,
            EastGarbageFirst,
            EastCut,
            EastRemoved,
            Swapped,
            Reordered,
            OlderKeyFirst,
            OlderKeysOnly,
            OtherKeyFirst,
            OtherKeysOnly,
            OtherKeyElsewhere,
            OtherId,
            ForgedId,
            OtherScope,
            OtherDataKey,
            NoPlace,
            OtherPlace,
            OlderHeader,
            OtherContext,
            LongerLength,
            LaterGeneration,
            LastGeneration,
            MissingForeign,
            NoFormat,
            OtherFormat,
            NoKeys,
            SidecarStale,
            SidecarOfOther,
            SidecarForeign,
            SidecarNewByStrangers,
            SidecarDamaged,
            SidecarHoldsWest,
            InstructionFile,
            OlderMetadata,
            OtherMetadata,
            OlderObject,
            OtherObject,
            S3ecObject,
            BodyFlipped,
            OlderBody,
            BodyCut,
        ]
    };

    /// `true` if objects of this kind can be changed so.
    pub(crate) fn applies_to(self, kind: Kind) -> bool {
        let needs_intermediate = matches!(
            self,
            Self::ForeignIntermediate
                | Self::IntermediateByStrangersFirst
                | Self::OtherId
                | Self::ForgedId
                | Self::OtherScope
                | Self::OtherDataKey
        );
        let needs_one_key = matches!(
            self,
            Self::Nothing
                | Self::ForeignGenuine
                | Self::EastReplacedByStrangers
                | Self::EastCut
                | Self::OlderKeysOnly
                | Self::NoKeys
                | Self::OtherContext
                | Self::OlderHeader
                | Self::OlderObject
                | Self::OlderBody
                | Self::BodyFlipped
                | Self::InstructionFile
        );
        match kind {
            Kind::Direct => !needs_intermediate,
            Kind::Shared | Kind::Mixed => true,
            Kind::V3 | Kind::V2 | Kind::V3File => needs_one_key,
        }
    }

    /// Changes the object of `scene`.
    pub(crate) fn apply(self, scene: &Scene, loot: &Loot, random: &mut Random) -> Tampered {
        let (original, mut keys) = (&loot.original, loot.keys());
        let object = |object: Stored| Tampered { object, sidecar: None, instruction_file: None };
        let with = |name: &str, value: String| object(original.with(name, value));
        let with_keys = |keys: KeyList| with("sealwax-keys", keys.to_json());
        let sidecar = |bytes: Bytes| Tampered { sidecar: Some(bytes), ..object(original.clone()) };
        let of = |stored: &Stored, name: &str| stored.metadata[name].clone();
        let direct = |key| vec![Group::direct(&loot.place, [key])];
        let mut garbage = || base64(&random.bytes(184));
        let east = scene.key(Name::East).as_str();
        match self {
            Self::Nothing => object(original.clone()),
            Self::NewGenuine => {
                let (group, _) = keys.find(east);
                group.keys.push(named(scene, Name::New, &loot.under_new));
                with_keys(keys)
            }
            Self::ForeignGarbage | Self::NewGarbage => {
                let name = if self == Self::NewGarbage { Name::New } else { Name::Foreign };
                let last = keys.0.last_mut().expect("a group");
                last.keys.push(named(scene, name, &garbage()));
                with_keys(keys)
            }
            Self::ForeignGenuine => {
                with_keys(keys.before(direct(loot.strangers(scene, Name::Foreign))))
            }
            Self::ForeignIntermediate => {
                let planted = loot.strangers_intermediate(scene, Name::Foreign);
                keys.shared().keys.push(planted);
                with_keys(keys)
            }
            Self::NewByStrangers => {
                with_keys(keys.before(direct(loot.strangers(scene, Name::New))))
            }
            Self::EastByStrangersFirst => {
                with_keys(keys.after(direct(loot.strangers(scene, Name::East))))
            }
            Self::WestByStrangersFirst => {
                with_keys(keys.after(direct(loot.strangers(scene, Name::West))))
            }
            Self::IntermediateByStrangersFirst => {
                let planted = loot.strangers_intermediate(scene, Name::East);
                keys.shared().keys.insert(0, planted);
                with_keys(keys)
            }
            Self::EastReplacedByStrangers => {
                let (group, at) = keys.find(east);
                group.keys[at] = match group.is_shared() {
                    true => loot.strangers_intermediate(scene, Name::East),
                    false => loot.strangers(scene, Name::East),
                };
                with_keys(keys)
            }
            Self::EastGarbageFirst => {
                let garbage = named(scene, Name::East, &garbage());
                keys.find(east).0.keys.insert(0, garbage);
                with_keys(keys)
            }
            Self::EastCut => {
                let (group, at) = keys.find(east);
                let text = &mut group.keys[at][2];
                // Whole groups of four characters stay canonical base64.
                text.truncate(4 * random.below(text.len() / 4).max(1));
                with_keys(keys)
            }
            Self::EastRemoved => {
                let (group, at) = keys.find(east);
                group.keys.remove(at);
                with_keys(keys)
            }
            Self::Swapped => {
                let west = scene.key(Name::West).as_str();
                let of = |keys: &mut KeyList, arn| {
                    let (group, at) = keys.find(arn);
                    group.keys[at][2].clone()
                };
                let (of_east, of_west) = (of(&mut keys, east), of(&mut keys, west));
                for (arn, ciphertext) in [(east, of_west), (west, of_east)] {
                    let (group, at) = keys.find(arn);
                    group.keys[at][2] = ciphertext;
                }
                with_keys(keys)
            }
            Self::Reordered => {
                keys.0.reverse();
                keys.0.iter_mut().for_each(|group| group.keys.reverse());
                with_keys(keys)
            }
            Self::OlderKeyFirst => with_keys(keys.after(keys_of(&loot.older).only(east).0)),
            Self::OlderKeysOnly => with_keys(keys_of(&loot.older)),
            Self::OtherKeyFirst => {
                with_keys(keys.after(keys_of(&loot.other).only(east).at(&loot.place).0))
            }
            Self::OtherKeysOnly => with_keys(keys_of(&loot.other).at(&loot.place)),
            Self::OtherKeyElsewhere => with_keys(keys.before(keys_of(&loot.other).only(east).0)),
            Self::OtherId => {
                keys.shared().intermediate = keys_of(&loot.other).shared().intermediate.clone();
                with_keys(keys)
            }
            Self::ForgedId => {
                // 16 random bytes are 21 characters and a part of the 22nd.
                let id = keys.shared().intermediate.as_mut().expect("an id");
                let at = 23 + random.below(id.len() - 25);
                let other = if id.as_bytes()[at] == b'A' { "B" } else { "A" };
                id.replace_range(at..=at, other);
                with_keys(keys)
            }
            Self::OtherScope => {
                keys.shared().scope = Some(scene.object.bucket().len() + 1);
                with_keys(keys)
            }
            Self::OtherDataKey => {
                keys.shared().data_key = keys_of(&loot.sibling).shared().data_key.clone();
                with_keys(keys)
            }
            Self::NoPlace => {
                for group in &mut keys.0 {
                    (group.place, group.scope) = (None, None);
                }
                with_keys(keys)
            }
            Self::OtherPlace => with_keys(keys.at(&format!("{}-other", loot.place))),
            Self::OlderHeader => with("sealwax-header", of(&loot.older, "sealwax-header")),
            Self::OtherContext => with("sealwax-context", r#"{"tenant":"evil"}"#.to_owned()),
            Self::LongerLength => {
                let length: usize = of(original, "sealwax-length").parse().expect("a length");
                with("sealwax-length", (length + 1 + random.below(99)).to_string())
            }
            Self::LaterGeneration => {
                with("sealwax-generation", (2 + random.below(1000)).to_string())
            }
            Self::LastGeneration => with("sealwax-generation", u32::MAX.to_string()),
            Self::MissingForeign => {
                let missing = [["aws-kms", scene.key(Name::Foreign).as_str()]];
                with("sealwax-missing", serde_json::to_string(&missing).expect("JSON"))
            }
            Self::NoFormat => object(original.without("sealwax-format")),
            Self::OtherFormat => with("sealwax-format", "v2+Cobblestone-256".to_owned()),
            Self::NoKeys => object(original.without("sealwax-keys")),
            Self::SidecarStale => sidecar(Loot::sidecar(&loot.older, &keys_of(&loot.older))),
            Self::SidecarOfOther => sidecar(Loot::sidecar(&loot.other, &keys_of(&loot.other))),
            Self::SidecarForeign | Self::SidecarNewByStrangers => {
                let name = if self == Self::SidecarForeign { Name::Foreign } else { Name::New };
                let planted = KeyList(direct(loot.strangers(scene, name)));
                sidecar(Loot::sidecar(original, &planted))
            }
            Self::SidecarDamaged => sidecar(random.bytes(99).into()),
            Self::SidecarHoldsWest => {
                let (group, at) = keys.find(scene.key(Name::West).as_str());
                let alone =
                    KeyList(vec![Group { keys: vec![group.keys.remove(at)], ..group.clone() }]);
                let sidecar = Some(Loot::sidecar(original, &alone));
                Tampered { sidecar, ..with_keys(keys) }
            }
            Self::InstructionFile => {
                let file = Some(serde_json::to_vec(&loot.s3ec.metadata).expect("JSON").into());
                Tampered { instruction_file: file, ..object(original.clone()) }
            }
            Self::OlderMetadata => object(loot.older.with_body(original.body.clone())),
            Self::OtherMetadata => {
                let keys = keys_of(&loot.other).at(&loot.place).to_json();
                object(loot.other.with("sealwax-keys", keys).with_body(original.body.clone()))
            }
            Self::OlderObject => object(loot.older.clone()),
            Self::OtherObject => object(loot.other.clone()),
            Self::S3ecObject => object(loot.s3ec.clone()),
            Self::BodyFlipped => {
                // After the 56 bytes of the header.
                let mut body = original.body.to_vec();
                let at = 56 + random.below(body.len() - 56);
                body[at] ^= 1 << random.below(8);
                object(original.with_body(body))
            }
            Self::OlderBody => object(original.with_body(loot.older.body.clone())),
            Self::BodyCut => {
                let len = original.body.len();
                object(original.with_body(original.body.slice(..len - 1 - random.below(100))))
            }
        }
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD};
    BASE64_STANDARD_NO_PAD.encode(bytes)
}
