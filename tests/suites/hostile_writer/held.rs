//! State of the object after each change: the truth about every wrapped key, which no metadata
//! tells.

use sealwax_s3::ErrorKind;

use crate::{
    change::Change,
    scene::{Kind, Name},
};

/// Truth about a wrapped key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Truth {
    /// It opens the body.
    Genuine,
    /// A genuine intermediate key, and a data key of another body.
    Hollow,
    /// KMS accepts it for this binding. Its key is another one.
    Strangers,
    /// KMS rejects it.
    Rejected,
}

/// Content of a wrapped key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Wraps {
    /// The data key.
    DataKey,
    /// An intermediate key. The groups are numbered.
    Intermediate(u8),
}

/// A wrapped key as it is stored: a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Claim {
    pub(crate) name: Name,
    pub(crate) wraps: Wraps,
    pub(crate) truth: Truth,
    /// `false` if it is bound to another place than the object's.
    pub(crate) here: bool,
}

/// The object's sidecar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sidecar {
    Absent,
    /// That of another body.
    Stale,
    Damaged,
    Holds(Vec<Claim>),
}

/// The object's body, as the header in the metadata describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    Original,
    /// A genuine body, with its own metadata.
    Older,
    /// A changed body, or one of other metadata.
    Wrong,
}

/// An object after a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    /// The error of everything that reads the metadata, or that compares lengths.
    pub(crate) refused: Option<ErrorKind>,
    /// `false` if its context is not the one that the operator requires.
    pub(crate) has_context: bool,
    pub(crate) own: Vec<Claim>,
    pub(crate) sidecar: Sidecar,
    pub(crate) body: Body,
    /// `true` if no later generation can be written.
    pub(crate) is_last_generation: bool,
}

fn claim(name: Name, wraps: Wraps, truth: Truth) -> Claim {
    Claim { name, wraps, truth, here: true }
}

/// Claims of an unchanged object.
fn genuine(kind: Kind) -> Vec<Claim> {
    let (data_key, shared) = (Wraps::DataKey, Wraps::Intermediate(0));
    let [east, west] = match kind {
        Kind::Direct => [data_key, data_key],
        Kind::V3 | Kind::V2 | Kind::V3File => unreachable!("one key, which nothing names"),
        Kind::Shared => [shared, shared],
        Kind::Mixed => [shared, data_key],
    };
    vec![claim(Name::East, east, Truth::Genuine), claim(Name::West, west, Truth::Genuine)]
}

/// Claims of another body, moved here. KMS itself rejects keys of another body, but an intermediate
/// key is one of many bodies.
fn of_other_body(kind: Kind, group: u8) -> Vec<Claim> {
    let mut claims = genuine(kind);
    for claim in &mut claims {
        (claim.wraps, claim.truth) = match claim.wraps {
            Wraps::DataKey => (Wraps::DataKey, Truth::Rejected),
            Wraps::Intermediate(_) => (Wraps::Intermediate(group), Truth::Hollow),
        };
    }
    claims
}

impl Held {
    fn new(own: Vec<Claim>) -> Self {
        Self {
            refused: None,
            has_context: true,
            own,
            sidecar: Sidecar::Absent,
            body: Body::Original,
            is_last_generation: false,
        }
    }

    /// Says what `change` leaves of an object of this kind.
    pub(crate) fn after(change: Change, kind: Kind) -> Self {
        use Truth::{Genuine, Hollow, Rejected, Strangers};
        let all = || genuine(kind);
        let (east, west) = (all()[0], all()[1]);
        let east_is = |truth| vec![claim(Name::East, east.wraps, truth), west];
        let direct = |name, truth| claim(name, Wraps::DataKey, truth);
        let and = |more: Claim| vec![east, west, more];
        let before = |first: Vec<Claim>| [first, all()].concat();
        // Keys of the intermediate key's group have this truth.
        let group_is = |truth| {
            let of = |it: Claim| match it.wraps {
                Wraps::Intermediate(_) => Claim { truth, ..it },
                Wraps::DataKey => it,
            };
            all().into_iter().map(of).collect()
        };
        let all_are = |truth| all().into_iter().map(|it| Claim { truth, ..it }).collect();
        let refused = |kind| Self { refused: Some(kind), ..Self::new(all()) };
        let body = |body| Self { body, ..Self::new(all()) };
        let sidecar = |sidecar| Self { sidecar, ..Self::new(all()) };
        let elsewhere = |claims: Vec<Claim>| {
            claims.into_iter().map(|it| Claim { here: false, ..it }).collect::<Vec<_>>()
        };
        match change {
            Change::Nothing
            | Change::Reordered
            | Change::LaterGeneration
            | Change::MissingForeign
            | Change::InstructionFile => Self::new(all()),
            Change::NewGenuine => {
                Self::new(vec![east, claim(Name::New, east.wraps, Genuine), west])
            }

            Change::ForeignGarbage => Self::new(and(claim(Name::Foreign, west.wraps, Rejected))),
            Change::NewGarbage => Self::new(and(claim(Name::New, west.wraps, Rejected))),
            Change::ForeignGenuine => Self::new(and(direct(Name::Foreign, Strangers))),
            Change::NewByStrangers => Self::new(and(direct(Name::New, Strangers))),
            Change::ForeignIntermediate => {
                Self::new(vec![east, claim(Name::Foreign, east.wraps, Strangers), west])
            }

            Change::EastByStrangersFirst => Self::new(before(vec![direct(Name::East, Strangers)])),
            Change::WestByStrangersFirst => Self::new(before(vec![direct(Name::West, Strangers)])),
            Change::IntermediateByStrangersFirst => {
                Self::new(before(vec![claim(Name::East, east.wraps, Strangers)]))
            }
            Change::EastGarbageFirst => {
                Self::new(before(vec![claim(Name::East, east.wraps, Rejected)]))
            }
            Change::EastReplacedByStrangers => Self::new(east_is(Strangers)),
            Change::EastCut => Self::new(east_is(Rejected)),
            Change::EastRemoved => Self::new(vec![west]),
            Change::Swapped => Self::new(all_are(Rejected)),

            // Older versions are under the same intermediate key; other objects are not.
            Change::OlderKeyFirst | Change::OtherKeyFirst => {
                Self::new(before(of_other_body(kind, 1)[..1].to_vec()))
            }
            Change::OlderKeysOnly | Change::OtherKeysOnly => Self::new(of_other_body(kind, 1)),
            Change::OtherKeyElsewhere => {
                Self::new([all(), elsewhere(of_other_body(kind, 1)[..1].to_vec())].concat())
            }

            Change::OtherId | Change::OtherScope => Self::new(group_is(Rejected)),
            Change::ForgedId => Self::new(group_is(Strangers)),
            Change::OtherDataKey => Self::new(group_is(Hollow)),

            Change::NoPlace | Change::OtherPlace => Self::new(elsewhere(all_are(Rejected))),
            Change::OlderHeader | Change::OtherMetadata => Self::new(of_other_body(kind, 0)),
            Change::OtherContext => Self { has_context: false, ..Self::new(all_are(Rejected)) },
            Change::LastGeneration => Self { is_last_generation: true, ..Self::new(all()) },
            Change::LongerLength | Change::BodyCut => refused(ErrorKind::Truncated),
            Change::NoFormat | Change::NoKeys => refused(ErrorKind::Malformed),
            Change::OtherFormat => refused(ErrorKind::Unsupported),
            Change::S3ecObject => refused(ErrorKind::PolicyRefused),

            Change::SidecarStale | Change::SidecarOfOther => sidecar(Sidecar::Stale),
            Change::SidecarForeign => {
                sidecar(Sidecar::Holds(vec![direct(Name::Foreign, Strangers)]))
            }
            Change::SidecarNewByStrangers => {
                sidecar(Sidecar::Holds(vec![direct(Name::New, Strangers)]))
            }
            Change::SidecarDamaged => sidecar(Sidecar::Damaged),
            Change::SidecarHoldsWest => {
                Self { own: vec![east], ..sidecar(Sidecar::Holds(vec![west])) }
            }

            Change::OlderMetadata | Change::BodyFlipped | Change::OlderBody => body(Body::Wrong),
            Change::OlderObject => body(Body::Older),
            Change::OtherObject => Self::new(elsewhere(all())),
        }
    }

    /// Returns the claims in the metadata, then those that only the sidecar has.
    pub(crate) fn all(&self) -> Vec<Claim> {
        match &self.sidecar {
            Sidecar::Holds(more) => [&*self.own, more].concat(),
            Sidecar::Absent | Sidecar::Stale | Sidecar::Damaged => self.own.clone(),
        }
    }
}
