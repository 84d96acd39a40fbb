//! Key objects as a writer to the bucket can leave them.

use std::collections::BTreeMap;

use sealwax_tests::Random;
use serde_json::Value;

use super::stage::Stage;
use crate::scene::Name;

/// One change. [`Attack::held`] tells what each leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Attack {
    /// No change: the control.
    Nothing,
    /// The key object under New that the operator removed is back.
    NewBroughtBack,
    /// The key object under East from before its refresh is back.
    EastBroughtBack,

    // Planted.
    NewByStrangers,
    NewGarbage,
    ForeignByStrangers,
    ForeignGarbage,
    /// 64 objects whose names come before the genuine ones.
    Flood,

    // Swapped.
    EastByStrangers,
    WestByStrangers,
    EastGarbage,
    EastBitFlipped,
    /// The ciphertext of another id of the same context, under this id.
    EastOfOtherId,
    /// The ciphertext of an id of another context, under this id and context.
    EastOfOtherContext,
    /// Each has the other's ciphertext.
    EastAndWestSwapped,
    EastOtherScope,
    EastOtherFormat,
    BothByStrangers,

    // Not valid.
    /// The whole key object of another id.
    EastIsOtherId,
    /// The whole key object of another context.
    EastIsOtherContext,
    /// The whole key object of another wrapping key.
    EastIsWest,
    EastCut,
    /// A bit outside of ciphertext and scope.
    EastFlipped,
    EastEmpty,

    // Deleted.
    EastDeleted,
    WestDeleted,
    BothDeleted,
    EastDeletedWestByStrangers,
}

/// Truth about the key object of one wrapping key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    Absent,
    /// It is not valid, and no reader takes it for a wrapped key.
    Invalid,
    Genuine,
    /// KMS accepts it for this binding. Its key is another one.
    Strangers,
    /// KMS rejects it.
    Rejected,
    /// It claims another scope or format, for which KMS rejects it.
    Misbound,
}

impl Held {
    /// `true` if it is a wrapped key by its form.
    pub(super) fn is_valid(self) -> bool {
        !matches!(self, Self::Absent | Self::Invalid)
    }
}

/// Content of each key object, and of others in their folder.
pub(super) struct Planted {
    pub(super) by_name: BTreeMap<Name, Option<Vec<u8>>>,
    pub(super) is_flooded: bool,
}

impl Attack {
    /// All attacks.
    pub(super) const ALL: [Self; 28] = {
        use Attack::*;
        [
            Nothing,
            NewBroughtBack,
            EastBroughtBack,
            NewByStrangers,
            NewGarbage,
            ForeignByStrangers,
            ForeignGarbage,
            Flood,
            EastByStrangers,
            WestByStrangers,
            EastGarbage,
            EastBitFlipped,
            EastOfOtherId,
            EastOfOtherContext,
            EastAndWestSwapped,
            EastOtherScope,
            EastOtherFormat,
            BothByStrangers,
            EastIsOtherId,
            EastIsOtherContext,
            EastIsWest,
            EastCut,
            EastFlipped,
            EastEmpty,
            EastDeleted,
            WestDeleted,
            BothDeleted,
            EastDeletedWestByStrangers,
        ]
    };

    /// Tells what is there under `name`.
    pub(super) fn held(self, name: Name) -> Held {
        use Held::{Absent, Genuine, Invalid, Misbound, Rejected, Strangers};
        let [east, west, new, foreign] = match self {
            Self::Nothing | Self::EastBroughtBack | Self::Flood => {
                [Genuine, Genuine, Absent, Absent]
            }
            Self::NewBroughtBack => [Genuine, Genuine, Genuine, Absent],
            Self::NewByStrangers => [Genuine, Genuine, Strangers, Absent],
            Self::NewGarbage => [Genuine, Genuine, Rejected, Absent],
            Self::ForeignByStrangers => [Genuine, Genuine, Absent, Strangers],
            Self::ForeignGarbage => [Genuine, Genuine, Absent, Rejected],
            Self::EastByStrangers => [Strangers, Genuine, Absent, Absent],
            Self::WestByStrangers => [Genuine, Strangers, Absent, Absent],
            Self::EastGarbage
            | Self::EastBitFlipped
            | Self::EastOfOtherId
            | Self::EastOfOtherContext => [Rejected, Genuine, Absent, Absent],
            Self::EastAndWestSwapped => [Rejected, Rejected, Absent, Absent],
            Self::EastOtherScope | Self::EastOtherFormat => [Misbound, Genuine, Absent, Absent],
            Self::BothByStrangers => [Strangers, Strangers, Absent, Absent],
            Self::EastIsOtherId
            | Self::EastIsOtherContext
            | Self::EastIsWest
            | Self::EastCut
            | Self::EastFlipped
            | Self::EastEmpty => [Invalid, Genuine, Absent, Absent],
            Self::EastDeleted => [Absent, Genuine, Absent, Absent],
            Self::WestDeleted => [Genuine, Absent, Absent, Absent],
            Self::BothDeleted => [Absent; 4],
            Self::EastDeletedWestByStrangers => [Absent, Strangers, Absent, Absent],
        };
        match name {
            Name::East => east,
            Name::West => west,
            Name::New => new,
            Name::Foreign => foreign,
        }
    }

    /// Changes the key objects of `stage`.
    pub(super) fn apply(self, stage: &Stage, random: &mut Random) -> Planted {
        let genuine = |name| stage.genuine(name).to_owned();
        let garbage = |random: &mut Random| base64(&random.bytes(184));
        let with = |name: Name, ciphertext: &str| {
            edited(&stage.named(name), |json| json["ciphertext"] = ciphertext.into())
        };
        let strangers = |name| with(name, stage.strangers(name));
        let ciphertext =
            |content: &str| parsed(content)["ciphertext"].as_str().expect("text").to_owned();
        let mut east = Some(genuine(Name::East));
        let mut west = Some(genuine(Name::West));
        let (mut new, mut foreign) = (None, None);
        match self {
            Self::Nothing | Self::Flood => {}
            Self::NewBroughtBack => new = Some(stage.under_new().to_owned()),
            Self::EastBroughtBack => east = Some(stage.older_east().to_owned()),
            Self::NewByStrangers => new = Some(strangers(Name::New)),
            Self::NewGarbage => new = Some(with(Name::New, &garbage(random))),
            Self::ForeignByStrangers => foreign = Some(strangers(Name::Foreign)),
            Self::ForeignGarbage => foreign = Some(with(Name::Foreign, &garbage(random))),
            Self::EastByStrangers => east = Some(strangers(Name::East)),
            Self::WestByStrangers => west = Some(strangers(Name::West)),
            Self::EastGarbage => east = Some(with(Name::East, &garbage(random))),
            Self::EastBitFlipped => {
                let mut bytes = unbase64(&ciphertext(&genuine(Name::East)));
                let at = random.below(bytes.len());
                bytes[at] ^= 1 << random.below(8);
                east = Some(with(Name::East, &base64(&bytes)));
            }
            Self::EastOfOtherId => {
                east = Some(with(Name::East, &ciphertext(stage.other_id())));
            }
            Self::EastOfOtherContext => {
                east = Some(with(Name::East, &ciphertext(stage.other_context())));
            }
            Self::EastAndWestSwapped => {
                let [of_east, of_west] =
                    [Name::East, Name::West].map(|it| ciphertext(&genuine(it)));
                (east, west) = (Some(with(Name::East, &of_west)), Some(with(Name::West, &of_east)));
            }
            Self::EastOtherScope => {
                let bucket = format!("{}/", stage.scene.object.bucket());
                east = Some(edited(&genuine(Name::East), |json| json["scope"] = bucket.into()));
            }
            Self::EastOtherFormat => {
                east = Some(edited(&genuine(Name::East), |json| {
                    let is_detached = json["format"] == "v1/detached";
                    json["format"] =
                        if is_detached { "v1/intermediate" } else { "v1/detached" }.into();
                }));
            }
            Self::BothByStrangers => {
                (east, west) = (Some(strangers(Name::East)), Some(strangers(Name::West)));
            }
            Self::EastIsOtherId => east = Some(stage.other_id().to_owned()),
            Self::EastIsOtherContext => east = Some(stage.other_context().to_owned()),
            Self::EastIsWest => east.clone_from(&west),
            Self::EastCut => {
                let content = genuine(Name::East);
                east = Some(content[..1 + random.below(content.len() - 1)].to_owned());
            }
            Self::EastFlipped => {
                let mut bytes = genuine(Name::East).into_bytes();
                let at = position(
                    &bytes,
                    random.pick(&[
                        "wrapping-key",
                        "arn:aws:kms",
                        "{",
                        "provider",
                        "aws-kms",
                        "id\":",
                    ]),
                );
                bytes[at] ^= 1 << random.below(8);
                return Planted::new([Some(bytes), west.map(Into::into), None, None], false);
            }
            Self::EastEmpty => east = Some(String::new()),
            Self::EastDeleted => east = None,
            Self::WestDeleted => west = None,
            Self::BothDeleted => (east, west) = (None, None),
            Self::EastDeletedWestByStrangers => {
                (east, west) = (None, Some(strangers(Name::West)));
            }
        }
        let contents = [east, west, new, foreign].map(|content| content.map(String::into_bytes));
        Planted::new(contents, self == Self::Flood)
    }
}

impl Planted {
    fn new(contents: [Option<Vec<u8>>; 4], is_flooded: bool) -> Self {
        Self { by_name: Name::ALL.into_iter().zip(contents).collect(), is_flooded }
    }
}

/// Returns the position of the first byte of `text`.
fn position(bytes: &[u8], text: &str) -> usize {
    bytes.windows(text.len()).position(|it| it == text.as_bytes()).expect("a part of a key object")
}

fn parsed(content: &str) -> Value {
    serde_json::from_str(content).expect("a key object")
}

/// Returns a key object with edited members, in the spelling of the format.
pub(super) fn edited(content: &str, edit: impl FnOnce(&mut Value)) -> String {
    let mut json = parsed(content);
    edit(&mut json);
    json.to_string()
}

fn base64(bytes: &[u8]) -> String {
    use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD};
    BASE64_STANDARD_NO_PAD.encode(bytes)
}

fn unbase64(text: &str) -> Vec<u8> {
    use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD};
    BASE64_STANDARD_NO_PAD.decode(text).expect("base64")
}
