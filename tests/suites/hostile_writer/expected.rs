//! The table of expected results: what each operation must do with an object after each change.

use sealwax_s3::ErrorKind;

use crate::{
    change::Change,
    held::{Body, Claim, Held, Sidecar, Truth},
    operation::Operation,
    outcome::{Names, Outcome, Report, Version},
    rules::{Carried, Keys, Made},
    s3ec,
    scene::{Kind, Name, Role},
};

/// Returns the expected outcome.
pub(crate) fn expected(operation: Operation, change: Change, role: Role, kind: Kind) -> Outcome {
    if kind.is_s3ec() {
        return s3ec::expected(operation, change, role, kind);
    }
    let case = Case { held: Held::after(change, kind), change, keys: Keys::reading(role), role };
    case.expected(operation).unwrap_or_else(Outcome::Failed)
}

/// An object after a change, in the hands of an operator.
struct Case {
    held: Held,
    change: Change,
    keys: Keys,
    role: Role,
}

type Expected = Result<Outcome, ErrorKind>;

impl Case {
    fn expected(&self, operation: Operation) -> Expected {
        match operation {
            Operation::Get | Operation::GetRange | Operation::StoreGet => self.read(),
            Operation::Verify => self.opens().map(|()| Outcome::Done),
            Operation::VerifyFull => self.opens().and_then(|()| self.body()).map(|_| Outcome::Done),
            Operation::Drill => self.opens_with(&Keys::new(self.role, &[Name::West])),

            Operation::Head | Operation::Migrate => self.parsed().map(|()| Outcome::Done),
            Operation::Inspect => self.inspected().map(|(names, why)| Outcome::Listed(names, why)),
            Operation::Audit => Ok(self.audited(|_| None)),
            Operation::AuditKeyMaterial => Ok(self.audited(|claims| self.asked(claims))),
            Operation::Plan => self.planned(),
            Operation::Delete => Ok(Outcome::Done),
            Operation::Shred => match self.change {
                Change::S3ecObject => Err(ErrorKind::NotSealed),
                _ => Ok(Outcome::Done),
            },

            Operation::CopyNear | Operation::StoreCopy => self.copied(true, false),
            Operation::CopyAtLeastOne => self.copied(true, true),
            Operation::CopyFar => self.copied(false, false),
            Operation::Move => self.moved(false),
            Operation::StoreRename => self.moved(true),
            Operation::CopyUnderNew => self.copied_under_new(),

            Operation::Add | Operation::AddToSidecar => self.rewrapped(|| self.added()),
            Operation::AddAndProve => self.rewrapped(|| self.added_and_proven()),
            Operation::Replace => self.rewrapped(|| self.replaced(true)),
            Operation::ReplaceUnproven => self.rewrapped(|| self.replaced(false)),
            Operation::Remove => self.rewrapped(|| self.removed()),
            Operation::AddAndRemove => self.rewrapped(|| self.added_and_removed()),
            Operation::Refresh => self.rewrapped(|| self.refreshed()),
            Operation::ReplaceJob => self.rewrapped(|| self.replaced(true)).map(as_job),
            Operation::Lambda => {
                self.as_lambda().rewrapped(|| self.as_lambda().added()).map(as_job)
            }
            Operation::Reencrypt => self.reencrypted(),
        }
        .map(|outcome| match (operation, outcome) {
            (Operation::StoreCopy | Operation::StoreRename, Outcome::Keys(_)) => Outcome::Done,
            (_, outcome) => outcome,
        })
    }

    // Reads.

    fn parsed(&self) -> Result<(), ErrorKind> {
        self.held.refused.map_or(Ok(()), Err)
    }

    /// The keys in the metadata open the object, or those of its sidecar do.
    fn opens(&self) -> Result<(), ErrorKind> {
        self.opens_with(&self.keys).map(drop)
    }

    fn opens_with(&self, keys: &Keys) -> Expected {
        self.parsed()?;
        let held = |own: &Vec<Claim>| Held {
            own: own.clone(),
            sidecar: Sidecar::Absent,
            ..self.held.clone()
        };
        let opened = keys.open_held(&held(&self.held.own));
        match (opened, &self.held.sidecar) {
            (Err(error), Sidecar::Holds(more)) => keys.open_held(&held(more)).map_err(|_| error),
            (opened, _) => opened,
        }
        .map(|()| Outcome::Done)
    }

    fn body(&self) -> Expected {
        match self.held.body {
            Body::Original => Ok(Outcome::Plaintext(Version::Original)),
            Body::Older => Ok(Outcome::Plaintext(Version::Older)),
            Body::Wrong => Err(ErrorKind::Authentication),
        }
    }

    fn read(&self) -> Expected {
        self.parsed()?;
        if !self.held.has_context {
            return Err(ErrorKind::ContextMismatch);
        }
        self.opens()?;
        self.body()
    }

    // Reports, which use no key.

    fn inspected(&self) -> Result<(Names, Option<ErrorKind>), ErrorKind> {
        // An inspection tells formats apart, and admits all of them.
        match self.change {
            Change::NoFormat | Change::S3ecObject => return Ok((Names::new(), None)),
            _ => self.parsed()?,
        }
        let problem = (self.held.sidecar == Sidecar::Damaged).then_some(ErrorKind::Malformed);
        Ok((self.held.all().iter().map(|claim| claim.name).collect(), problem))
    }

    fn audited(&self, more: impl Fn(&[Claim]) -> Option<ErrorKind>) -> Outcome {
        match self.inspected() {
            Ok((names, problem)) if names.is_empty() => Outcome::Listed(names, problem),
            Ok((names, problem)) => Outcome::Listed(names, problem.or(more(&self.held.all()))),
            Err(problem) => Outcome::Listed(Names::new(), Some(problem)),
        }
    }

    /// KMS is asked about each wrapped key at the object's place that the keyring accepts.
    fn asked(&self, claims: &[Claim]) -> Option<ErrorKind> {
        let claims = claims.iter().filter(|claim| claim.here && self.keys.accepts(claim));
        claims.map(|claim| self.re_encrypts(claim)).find_map(Result::err)
    }

    fn planned(&self) -> Expected {
        self.rewrapped(|| {
            if self.is_only_new() {
                return Ok(Outcome::Job("unchanged"));
            }
            self.has_next_generation()?;
            match self.keys.open_held(&self.held) {
                Err(error @ (ErrorKind::PlaceMismatch | ErrorKind::NoMatchingKey)) => Err(error),
                _ => Ok(Outcome::Job("rewrap")),
            }
        })
    }

    // Copies.

    fn copy_source(&self) -> Result<(), ErrorKind> {
        self.parsed()?;
        match self.held.sidecar {
            Sidecar::Damaged => Err(ErrorKind::Malformed),
            _ => Ok(()),
        }
    }

    fn copied(&self, is_near: bool, at_least_one: bool) -> Expected {
        self.copy_source()?;
        let Carried { disproved, missing, .. } =
            self.keys.carry(&self.held, is_near, at_least_one)?;
        self.has_next_generation()?;
        Ok(Outcome::Keys(Report { disproved, missing, stored: true, ..Report::default() }))
    }

    /// A source is deleted only after its copy is proven, and lacks nothing.
    fn moved(&self, is_near: bool) -> Expected {
        self.copy_source()?;
        let Carried { claims, disproved, missing } = self.keys.carry(&self.held, is_near, false)?;
        self.has_next_generation()?;
        let opens = match self.keys.open(&claims) {
            Ok(()) => true,
            Err(ErrorKind::NoMatchingKey | ErrorKind::AccessDenied) => false,
            Err(error) => return Err(error),
        };
        if !disproved.is_empty() {
            return Ok(Outcome::CopiedOnly(ErrorKind::Authentication));
        }
        if !opens {
            return Ok(Outcome::CopiedOnly(ErrorKind::AccessDenied));
        }
        Ok(Outcome::Keys(Report { missing, opens, stored: true, ..Report::default() }))
    }

    fn copied_under_new(&self) -> Expected {
        self.copy_source()?;
        self.has_next_generation()?;
        let made = self.keys.make(&self.held, true, Some(true))?;
        Ok(added(Report { opens: made.proven, ..Report::default() }))
    }

    // Key changes.

    /// A sidecar's keys count as the object's.
    fn rewrapped(&self, change: impl FnOnce() -> Expected) -> Expected {
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
    fn has_next_generation(&self) -> Result<(), ErrorKind> {
        if self.held.is_last_generation { Err(ErrorKind::Malformed) } else { Ok(()) }
    }

    fn is_only_new(&self) -> bool {
        self.new_claims().len() == self.held.all().len()
    }

    /// Returns the names that stay on the list of missing keys.
    fn missing(&self, stays: bool) -> Names {
        let listed = stays && self.change == Change::MissingForeign;
        listed.then_some(Name::Foreign).into_iter().collect()
    }

    fn claimed(&self) -> Expected {
        let claimed = Names::from([Name::New]);
        Ok(Outcome::Keys(Report { claimed, ..Report::default() }))
    }

    fn added(&self) -> Expected {
        if !self.new_claims().is_empty() {
            return self.claimed();
        }
        self.has_next_generation()?;
        let made = self.keys.make(&self.held, false, None)?;
        Ok(added(Report { opens: made.proven, missing: self.missing(true), ..Report::default() }))
    }

    fn added_and_proven(&self) -> Expected {
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

    fn replaced(&self, needs_proof: bool) -> Expected {
        self.has_next_generation()?;
        let Made { claims, proven } = self.keys.make(&self.held, true, None)?;
        if proven || !needs_proof {
            return Ok(added(Report { opens: proven, ..Report::default() }));
        }
        self.drop_doomed(&claims, &self.held.all())
    }

    fn removed(&self) -> Expected {
        let left = self.without(&self.held.all(), Name::East);
        if left.is_empty() {
            return Err(ErrorKind::InvalidInput);
        }
        if left.len() == self.held.all().len() {
            return Ok(Outcome::Keys(Report::default()));
        }
        self.proves_any(&left, &[&self.keys])?;
        let missing = self.missing(true);
        Ok(Outcome::Keys(Report { missing, opens: true, stored: true, ..Report::default() }))
    }

    fn added_and_removed(&self) -> Expected {
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
        let missing = self.missing(true);
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
    fn re_encrypts(&self, claim: &Claim) -> Result<(), ErrorKind> {
        self.keys.permit(claim.name, true)?;
        if claim.truth == Truth::Rejected { Err(ErrorKind::Authentication) } else { Ok(()) }
    }

    fn refreshed(&self) -> Expected {
        let mine = self.keys.trusted(&self.held)?;
        if mine.is_empty() {
            return Err(ErrorKind::NoMatchingKey);
        }
        mine.iter().try_for_each(|claim| self.re_encrypts(claim))?;
        let missing = self.missing(true);
        Ok(Outcome::Keys(Report { missing, stored: true, ..Report::default() }))
    }

    /// The function has New among its reading keys.
    fn as_lambda(&self) -> Self {
        let keys = match self.role {
            Role::Account => Keys::reading(self.role),
            _ => Keys::new(self.role, &[Name::East, Name::West, Name::New]),
        };
        Self { held: self.held.clone(), change: self.change, keys, role: self.role }
    }

    fn reencrypted(&self) -> Expected {
        self.read()?;
        // New data keys are under East and West.
        self.keys.permit(Name::East, false)?;
        Ok(Outcome::Done)
    }
}

/// Keys under New were added.
fn added(report: Report) -> Outcome {
    Outcome::Keys(Report { added: Names::from([Name::New]), stored: true, ..report })
}

/// Returns the outcome's name in a job's report.
fn as_job(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Keys(report) if report.stored && !report.kept.is_empty() => Outcome::Job("kept"),
        Outcome::Keys(report) if report.stored => Outcome::Job("rewrapped"),
        Outcome::Keys(report) if !report.claimed.is_empty() => Outcome::Job("claimed"),
        Outcome::Keys(report) if !report.proven.is_empty() => Outcome::Job("proven"),
        Outcome::Keys(_) => Outcome::Job("unchanged"),
        other => other,
    }
}
