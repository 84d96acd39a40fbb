//! The table of expected results: what each operation must do with an object after each change.

mod key_changes;

use sealwax_s3::ErrorKind;

use self::key_changes::{added, as_job};
use crate::{
    change::Change,
    held::{Body, Claim, Held, Sidecar},
    operation::Operation,
    outcome::{Names, Outcome, Report, Version},
    rules::{Carried, Keys},
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
        // An inspection tells formats apart, and admits all of them. What has other names of the
        // format is a damaged sealed object.
        match self.change {
            Change::S3ecObject => return Ok((Names::new(), None)),
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
        if !disproved.is_empty() || !missing.is_empty() || !opens {
            return Ok(Outcome::CopiedOnly(ErrorKind::Unproven));
        }
        Ok(Outcome::Keys(Report { missing, opens, stored: true, ..Report::default() }))
    }

    fn copied_under_new(&self) -> Expected {
        self.copy_source()?;
        self.has_next_generation()?;
        let made = self.keys.make(&self.held, true, Some(true))?;
        Ok(added(Report { opens: made.proven, ..Report::default() }))
    }

    fn reencrypted(&self) -> Expected {
        self.read()?;
        // New data keys are under East and West.
        self.keys.permit(Name::East, false)?;
        Ok(Outcome::Done)
    }
}
