//! Expected results of operations that change an object's keys.

use sealwax_s3::ErrorKind;

use super::{Case, Expected};
use crate::{
    change::Change,
    held::{Claim, Held, Sidecar, Truth},
    outcome::{Names, Outcome, Report},
    rules::{Keys, Made},
    scene::{Name, Role},
};

impl Case {
    /// A sidecar's keys count as the object's.
    pub(super) fn rewrapped(&self, change: impl FnOnce() -> Expected) -> Expected {
        self.parsed()?;
        if self.held.sidecar == Sidecar::Damaged {
            return Err(ErrorKind::Malformed);
        }
        let outcome = change()?;
        if matches!(&outcome, Outcome::Keys(report) if report.stored) {
            self.has_next_generation()?;
        }
        Ok(outcome)
    }

    /// Returns the claims under New at the object's place.
    fn new_claims(&self) -> Vec<Claim> {
        self.held.all().into_iter().filter(|claim| claim.name == Name::New && claim.here).collect()
    }

    /// Keys that could not be stored are not made.
    pub(super) fn has_next_generation(&self) -> Result<(), ErrorKind> {
        if self.held.is_last_generation { Err(ErrorKind::Malformed) } else { Ok(()) }
    }

    pub(super) fn is_only_new(&self) -> bool {
        self.new_claims().len() == self.held.all().len()
    }

    /// Returns the names that stay on the list of missing keys.
    fn missing(&self) -> Names {
        let listed = self.change == Change::MissingForeign;
        listed.then_some(Name::Foreign).into_iter().collect()
    }

    fn claimed(&self) -> Expected {
        let claimed = Names::from([Name::New]);
        Ok(Outcome::Keys(Report { claimed, ..Report::default() }))
    }

    pub(super) fn added(&self) -> Expected {
        if !self.new_claims().is_empty() {
            return self.claimed();
        }
        self.has_next_generation()?;
        let made = self.keys.make(&self.held, false, None)?;
        Ok(added(Report { opens: made.proven, missing: self.missing(), ..Report::default() }))
    }

    pub(super) fn added_and_proven(&self) -> Expected {
        let claims = self.new_claims();
        if claims.is_empty() {
            return self.added();
        }
        match Keys::new(self.role, &[Name::New]).open(&claims) {
            Ok(()) => {
                let proven = Names::from([Name::New]);
                Ok(Outcome::Keys(Report { proven, opens: true, ..Report::default() }))
            }
            Err(ErrorKind::Authentication) => {
                let held = Held {
                    own: self.without(&self.held.own, Name::New),
                    sidecar: Sidecar::Absent,
                    ..self.held.clone()
                };
                self.keys.wrap_again(&held)?;
                let disproved = Names::from([Name::New]);
                Ok(added(Report { disproved, opens: true, ..Report::default() }))
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn replaced(&self, needs_proof: bool) -> Expected {
        self.has_next_generation()?;
        let Made { claims, proven } = self.keys.make(&self.held, true, None)?;
        if proven || !needs_proof {
            return Ok(added(Report { opens: proven, ..Report::default() }));
        }
        self.drop_doomed(&claims, &self.held.all())
    }

    pub(super) fn removed(&self) -> Expected {
        let left = self.without(&self.held.all(), Name::East);
        if left.is_empty() {
            return Err(ErrorKind::InvalidInput);
        }
        if left.len() == self.held.all().len() {
            return Ok(Outcome::Keys(Report::default()));
        }
        self.proves_any(&left, &[&self.keys])?;
        let missing = self.missing();
        Ok(Outcome::Keys(Report { missing, opens: true, stored: true, ..Report::default() }))
    }

    pub(super) fn added_and_removed(&self) -> Expected {
        let (claims, left) = (self.new_claims(), self.without(&self.held.all(), Name::East));
        let new = Keys::new(self.role, &[Name::New]);
        if !claims.is_empty() {
            // New is there already, so this is a removal.
            let claimed = Names::from([Name::New]);
            self.proves_any(&left, &[&self.keys, &new])?;
            let report = Report { claimed, opens: true, stored: true, ..Report::default() };
            return Ok(Outcome::Keys(report));
        }
        self.has_next_generation()?;
        let made = self.keys.make(&self.held, false, None)?;
        let missing = self.missing();
        if made.proven || left.len() == self.held.all().len() {
            return Ok(added(Report { opens: made.proven, missing, ..Report::default() }));
        }
        let doomed: Vec<_> =
            self.held.all().into_iter().filter(|it| it.name == Name::East).collect();
        match self.drop_doomed(&[left, made.claims].concat(), &doomed)? {
            Outcome::Keys(report) => Ok(Outcome::Keys(Report { missing, ..report })),
            other => Ok(other),
        }
    }

    /// Keys go only after one that stays was proven. `doomed` stay where the role cannot decrypt.
    fn drop_doomed(&self, claims: &[Claim], doomed: &[Claim]) -> Expected {
        let new = Keys::new(self.role, &[Name::New]);
        match self.proves_any(claims, &[&self.keys, &new]) {
            Ok(()) => Ok(added(Report { opens: true, ..Report::default() })),
            Err(ErrorKind::NoMatchingKey | ErrorKind::AccessDenied) => {
                let kept = doomed.iter().map(|claim| claim.name);
                let kept = kept.filter(|name| *name != Name::New).collect();
                Ok(added(Report { kept, ..Report::default() }))
            }
            Err(ErrorKind::Authentication) => {
                // The new keys were made from planted ones.
                self.keys.wrap_again(&self.held)?;
                Ok(added(Report { opens: true, ..Report::default() }))
            }
            Err(error) => Err(error),
        }
    }

    /// Proves one of `claims` with one of the keyrings. What KMS found out outweighs that a keyring
    /// has none of the keys.
    fn proves_any(&self, claims: &[Claim], keyrings: &[&Keys]) -> Result<(), ErrorKind> {
        let here: Vec<_> = claims.iter().filter(|claim| claim.here).copied().collect();
        if self.held.all().iter().all(|claim| !claim.here) {
            return Err(ErrorKind::PlaceMismatch);
        }
        let mut failures = Vec::new();
        for keys in keyrings {
            match keys.open(&here) {
                Ok(()) => return Ok(()),
                Err(error) => failures.push(error),
            }
        }
        let known = failures.iter().find(|error| **error != ErrorKind::NoMatchingKey);
        Err(*known.unwrap_or(&ErrorKind::NoMatchingKey))
    }

    fn without(&self, claims: &[Claim], name: Name) -> Vec<Claim> {
        claims.iter().filter(|claim| claim.name != name).copied().collect()
    }

    /// `ReEncrypt` of a wrapped key to its own wrapping key.
    pub(super) fn re_encrypts(&self, claim: &Claim) -> Result<(), ErrorKind> {
        self.keys.permit(claim.name, true)?;
        if claim.truth == Truth::Rejected { Err(ErrorKind::Authentication) } else { Ok(()) }
    }

    pub(super) fn refreshed(&self) -> Expected {
        let mine = self.keys.trusted(&self.held)?;
        if mine.is_empty() {
            return Err(ErrorKind::NoMatchingKey);
        }
        mine.iter().try_for_each(|claim| self.re_encrypts(claim))?;
        let missing = self.missing();
        Ok(Outcome::Keys(Report { missing, stored: true, ..Report::default() }))
    }

    /// The function has New among its reading keys.
    pub(super) fn as_lambda(&self) -> Self {
        let keys = match self.role {
            Role::Account => Keys::reading(self.role),
            _ => Keys::new(self.role, &[Name::East, Name::West, Name::New]),
        };
        Self { held: self.held.clone(), change: self.change, keys, role: self.role }
    }
}

/// Keys under New were added.
pub(super) fn added(report: Report) -> Outcome {
    Outcome::Keys(Report { added: Names::from([Name::New]), stored: true, ..report })
}

/// Returns the outcome's name in a job's report.
pub(super) fn as_job(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Keys(report) if report.stored && !report.kept.is_empty() => Outcome::Job("kept"),
        Outcome::Keys(report) if report.stored => Outcome::Job("rewrapped"),
        Outcome::Keys(report) if !report.claimed.is_empty() => Outcome::Job("claimed"),
        Outcome::Keys(report) if !report.proven.is_empty() => Outcome::Job("proven"),
        Outcome::Keys(_) => Outcome::Job("unchanged"),
        other => other,
    }
}
