//! Answers of the key service about claims, and what must follow. Nothing here looks at the
//! library.

use std::collections::BTreeMap;

use sealwax_s3::ErrorKind;

use crate::{
    held::{Claim, Held, Truth, Wraps},
    outcome::Names,
    scene::{Name, Role},
};

/// Keys that an operation may use, in a role.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    pub(crate) role: Role,
    names: Names,
}

/// New wrapped keys under New.
pub(crate) struct Made {
    pub(crate) claims: Vec<Claim>,
    /// `true` if the data key that they wrap met the commitment.
    pub(crate) proven: bool,
}

/// Keys of a copy, each from its own wrapped key.
pub(crate) struct Carried {
    pub(crate) claims: Vec<Claim>,
    pub(crate) disproved: Names,
    pub(crate) missing: Names,
}

/// Results for the claims of one name.
#[derive(Default)]
struct Fate {
    carried: Vec<Claim>,
    /// Failure of a claim that could not be asked about.
    unknown: Option<ErrorKind>,
}

/// Returns the kind that outweighs the others: what the caller can act upon, and a cryptographic
/// failure only where nothing else failed.
pub(crate) fn worst(kinds: impl IntoIterator<Item = ErrorKind>) -> ErrorKind {
    const ORDER: [ErrorKind; 4] = [
        ErrorKind::AccessDenied,
        ErrorKind::Unavailable,
        ErrorKind::Throttled,
        ErrorKind::Authentication,
    ];
    let kinds: Vec<_> = kinds.into_iter().collect();
    ORDER.into_iter().find(|kind| kinds.contains(kind)).expect("a failure")
}

/// Returns the groups of neighbours that wrap one intermediate key, and single wrapped data keys.
fn groups(claims: &[Claim]) -> impl Iterator<Item = &[Claim]> {
    claims.chunk_by(|a, b| a.wraps == b.wraps && a.wraps != Wraps::DataKey)
}

/// `true` if both the wrapped key and its intermediate key, if any, are what they claim to be.
fn is_genuine(claim: &Claim) -> bool {
    claim.truth == Truth::Genuine
}

impl Keys {
    pub(crate) fn new(role: Role, names: &[Name]) -> Self {
        Self { role, names: names.iter().copied().collect() }
    }

    /// Returns the keys that the operator reads with.
    pub(crate) fn reading(role: Role) -> Self {
        match role {
            Role::Account => Self::new(role, &Name::ALL),
            _ => Self::new(role, &[Name::East, Name::West]),
        }
    }

    pub(crate) fn accepts(&self, claim: &Claim) -> bool {
        self.names.contains(&claim.name)
    }

    /// Refuses the use of a key, by the role alone.
    pub(crate) fn permit(&self, name: Name, re_encrypts: bool) -> Result<(), ErrorKind> {
        match self.role {
            Role::Throttled => Err(ErrorKind::Throttled),
            Role::EastDown if name.is_east() => Err(ErrorKind::Unavailable),
            Role::ReEncrypts if !re_encrypts => Err(ErrorKind::AccessDenied),
            _ => Ok(()),
        }
    }

    /// Unwraps by the first claim that does: a data key for which the commitment must speak, or the
    /// intermediate key of one group.
    pub(crate) fn open(&self, claims: &[Claim]) -> Result<(), ErrorKind> {
        let mine: Vec<_> = claims.iter().filter(|claim| self.accepts(claim)).collect();
        if mine.is_empty() {
            return Err(ErrorKind::NoMatchingKey);
        }
        let permitted = |claim: &&&Claim| self.permit(claim.name, false).is_ok();
        if mine.iter().filter(permitted).any(|claim| is_genuine(claim)) {
            return Ok(());
        }
        // A data key of another body came out: it fails the commitment.
        let is_strangers =
            |claim: &&Claim| claim.truth == Truth::Strangers && claim.wraps == Wraps::DataKey;
        if mine.iter().filter(permitted).any(is_strangers) {
            return Err(ErrorKind::Authentication);
        }
        let failure = |claim: &&Claim| {
            self.permit(claim.name, false).err().unwrap_or(ErrorKind::Authentication)
        };
        Err(worst(mine.iter().map(failure)))
    }

    /// Unwraps the intermediate key of a group. `Ok(true)`: its data key is the body's.
    /// `Ok(false)`: it is another's. `Err(None)`: the key can't be had.
    fn open_group(&self, group: &[Claim]) -> Result<bool, Option<ErrorKind>> {
        let of_group = |claim: &Claim| matches!(claim.truth, Truth::Genuine | Truth::Hollow);
        let permitted = |claim: &&Claim| self.permit(claim.name, false).is_ok();
        let mut mine = group.iter().filter(|claim| self.accepts(claim));
        if let Some(claim) = mine.clone().filter(permitted).find(|claim| of_group(claim)) {
            return Ok(is_genuine(claim));
        }
        let kinds = mine.by_ref().filter_map(|claim| self.permit(claim.name, false).err());
        let kinds: Vec<_> = kinds.collect();
        let may_pass =
            kinds.iter().find(|kind| matches!(kind, ErrorKind::Unavailable | ErrorKind::Throttled));
        Err(may_pass.copied())
    }

    /// Returns the claims at the object's place that the keys open or re-encrypt.
    pub(crate) fn trusted(&self, held: &Held) -> Result<Vec<Claim>, ErrorKind> {
        let claims = held.all();
        if claims.iter().all(|claim| !claim.here) {
            return Err(ErrorKind::PlaceMismatch);
        }
        Ok(claims.into_iter().filter(|claim| claim.here && self.accepts(claim)).collect())
    }

    /// Opens the object by any of its claims.
    pub(crate) fn open_held(&self, held: &Held) -> Result<(), ErrorKind> {
        self.trusted(held).and_then(|claims| self.open(&claims))
    }

    /// Re-encrypts one of `claims` to New, in New's Region: the first that KMS accepts, if any.
    fn re_encrypt(&self, claims: &[Claim]) -> Result<Option<Claim>, ErrorKind> {
        let mut sources: Vec<_> = claims.iter().filter(|claim| claim.name.is_east()).collect();
        sources.sort_by_key(|claim| claim.name != Name::New);
        if sources.is_empty() {
            return Ok(None);
        }
        match self.permit(Name::New, true) {
            Err(ErrorKind::Throttled) => Err(ErrorKind::Throttled),
            Err(_) => Ok(None),
            Ok(()) => {
                let accepted = sources.into_iter().find(|claim| claim.truth != Truth::Rejected);
                Ok(accepted.map(|claim| Claim { name: Name::New, ..*claim }))
            }
        }
    }

    /// Unwraps the data key and wraps it under New.
    pub(crate) fn wrap_again(&self, held: &Held) -> Result<Made, ErrorKind> {
        self.open_held(held)?;
        self.permit(Name::New, false)?;
        let new =
            Claim { name: Name::New, wraps: Wraps::DataKey, truth: Truth::Genuine, here: true };
        Ok(Made { claims: vec![new], proven: true })
    }

    /// Makes wrapped keys under New. `proves`: by a proof, if the role can. `near`: for another
    /// place, in the intermediate key's scope (`Some(true)`) or out of it.
    pub(crate) fn make(
        &self,
        held: &Held,
        proves: bool,
        near: Option<bool>,
    ) -> Result<Made, ErrorKind> {
        let trusted = self.trusted(held)?;
        let (shared, direct): (Vec<_>, Vec<_>) =
            groups(&trusted).partition(|group| group[0].wraps != Wraps::DataKey);
        let mut unproven = Vec::new();
        for group in shared.iter().filter(|_| near != Some(false)) {
            let must_open = near.is_some() || !group.iter().any(|claim| claim.name.is_east());
            let made = |truth| Claim { name: Name::New, truth, ..group[0] };
            if must_open || proves {
                match self.open_group(group) {
                    Ok(is_own) => {
                        self.permit(Name::New, false)?;
                        if is_own {
                            return Ok(Made { claims: vec![made(Truth::Genuine)], proven: true });
                        }
                        continue;
                    }
                    Err(Some(kind)) => return Err(kind),
                    Err(None) if must_open => continue,
                    Err(None) => {}
                }
            }
            match (self.re_encrypt(group)?, self.open_group(group)) {
                (Some(claim), _) => unproven.push(claim),
                (None, Ok(is_own)) => {
                    self.permit(Name::New, false)?;
                    unproven.push(made(if is_own { Truth::Genuine } else { Truth::Hollow }));
                }
                (None, Err(Some(kind))) => return Err(kind),
                (None, Err(None)) => {}
            }
        }
        if !unproven.is_empty() {
            return Ok(Made { claims: unproven, proven: false });
        }
        // An intermediate key cannot be re-encrypted to another place.
        let sources = if near.is_some() { direct.concat() } else { trusted };
        match self.re_encrypt(&sources)? {
            Some(claim) => Ok(Made { claims: vec![claim], proven: false }),
            None => self.wrap_again(held),
        }
    }

    /// Wraps the data key for another place, each key from its own wrapped key.
    pub(crate) fn carry(
        &self,
        held: &Held,
        is_near: bool,
        at_least_one: bool,
    ) -> Result<Carried, ErrorKind> {
        let trusted = self.trusted(held)?;
        if trusted.is_empty() {
            return Err(ErrorKind::NoMatchingKey);
        }
        let mut fates: BTreeMap<Name, Fate> = BTreeMap::new();
        for group in groups(&trusted) {
            // In its scope, an intermediate key and all of its wrapped forms go along.
            let is_shared = group[0].wraps != Wraps::DataKey;
            let opened = (is_shared && is_near).then(|| self.open_group(group));
            for claim in group {
                let fate = fates.entry(claim.name).or_default();
                match opened {
                    Some(Ok(true)) => fate.carried.push(*claim),
                    Some(Ok(false)) => {}
                    Some(Err(_)) | None => match self.carry_one(claim) {
                        Ok(carried) => fate.carried.extend(carried),
                        Err(kind) => fate.unknown = Some(kind),
                    },
                }
            }
        }
        let (mut usable, mut failures) = (0, Vec::new());
        let (mut claims, mut disproved, mut missing) = (Vec::new(), Names::new(), Names::new());
        for (name, Fate { carried, unknown }) in fates {
            match unknown {
                Some(kind) => {
                    failures.push(kind);
                    missing.insert(name);
                }
                None if carried.is_empty() => {
                    failures.push(ErrorKind::Authentication);
                    disproved.insert(name);
                }
                None => usable += 1,
            }
            claims.extend(carried);
        }
        if usable == 0 || (!at_least_one && !missing.is_empty()) {
            return Err(worst(failures));
        }
        Ok(Carried { claims, disproved, missing })
    }

    /// Wraps the key of a claim for another place, under the same name; `None` if it is disproved.
    fn carry_one(&self, claim: &Claim) -> Result<Option<Claim>, ErrorKind> {
        let is_direct = claim.wraps == Wraps::DataKey;
        // The data key under an intermediate key leaves KMS on its way to another place.
        self.permit(claim.name, is_direct)?;
        let passes = is_genuine(claim) || (is_direct && claim.truth == Truth::Strangers);
        Ok(passes.then_some(Claim { wraps: Wraps::DataKey, ..*claim }))
    }
}
