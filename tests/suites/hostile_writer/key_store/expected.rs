//! The table of expected results: what each operation must do with key objects after each attack.

use std::collections::BTreeMap;

use sealwax_s3::ErrorKind;

use super::{
    attack::{Attack, Held},
    operation::Operation,
    outcome::{Outcome, Proof, Report},
    stage::Wrapped,
};
use crate::{
    outcome::Names,
    rules::{Keys, worst},
    scene::{Name, Role},
};

/// Number of key objects that hide the genuine ones in each listing.
const FLOOD: u64 = 64;

/// Key objects after an attack, in the hands of an operator.
pub(super) struct Case {
    attack: Attack,
    role: Role,
    wrapped: Wrapped,
    /// Wrapping keys in the order of the listing.
    order: Vec<Name>,
}

type Expected = Result<Outcome, ErrorKind>;

/// Returns the error of forms that were asked, of which none is the key.
fn failure(failures: Vec<ErrorKind>) -> ErrorKind {
    worst(failures)
}

impl Case {
    pub(super) fn new(attack: Attack, role: Role, wrapped: Wrapped, order: Vec<Name>) -> Self {
        Self { attack, role, wrapped, order }
    }

    pub(super) fn expected(&self, operation: Operation) -> Outcome {
        let on_the_key_store = !matches!(
            operation,
            Operation::Get | Operation::Retire | Operation::CopyNear | Operation::CopyFar
        );
        if on_the_key_store && !self.is_flooded() && self.listed().is_empty() {
            return Outcome::Gone;
        }
        match operation {
            Operation::Get => self.read(),
            Operation::Verify => Ok(self.verified()),
            Operation::Add => self.added().map(Outcome::Keys),
            Operation::AddAndProve => self.added_and_proven().map(Outcome::Keys),
            Operation::Replace => self.replaced(true).map(Outcome::Keys),
            Operation::ReplaceUnproven => self.replaced(false).map(Outcome::Keys),
            Operation::Remove => self.removed().map(Outcome::Keys),
            Operation::Refresh => self.refreshed(false).map(Outcome::Keys),
            Operation::RefreshUnproven => self.refreshed(true).map(Outcome::Keys),
            Operation::Retire => Ok(self.retired()),
            Operation::CopyNear => self.copied(true),
            Operation::CopyFar => self.copied(false),
            Operation::Shred => {
                let planted = if self.is_flooded() { FLOOD } else { 0 };
                let present = Name::ALL.into_iter().filter(|it| self.held(*it) != Held::Absent);
                Ok(Outcome::Shredded(planted + present.count() as u64))
            }
        }
        .unwrap_or_else(Outcome::Failed)
    }

    fn held(&self, name: Name) -> Held {
        self.attack.held(name)
    }

    /// `true` if no listing shows the genuine key objects.
    fn is_flooded(&self) -> bool {
        self.attack == Attack::Flood
    }

    /// Returns the names that a listing shows, in its order.
    fn listed(&self) -> Vec<Name> {
        let is_listed = |name: &Name| self.held(*name) != Held::Absent && !self.is_flooded();
        self.order.iter().copied().filter(is_listed).collect()
    }

    /// Returns the keys that the operator's keyring names.
    fn named(&self) -> Vec<Name> {
        if self.role == Role::Account { vec![] } else { vec![Name::East, Name::West] }
    }

    fn accepts(&self, name: Name) -> bool {
        self.role == Role::Account || matches!(name, Name::East | Name::West)
    }

    fn permit(&self, name: Name, re_encrypts: bool) -> Result<(), ErrorKind> {
        Keys::new(self.role, &[]).permit(name, re_encrypts)
    }

    /// Unwraps by the first of `names` that does.
    fn open(&self, names: &[Name]) -> Result<(), ErrorKind> {
        let ask = |name: &Name| {
            self.permit(*name, false)?;
            match self.held(*name) {
                Held::Genuine => Ok(()),
                _ => Err(ErrorKind::Authentication),
            }
        };
        let failures: Vec<_> = names.iter().filter_map(|name| ask(name).err()).collect();
        if failures.len() < names.len() { Ok(()) } else { Err(failure(failures)) }
    }

    /// Returns the wrapped forms for the data key of an object: those that the keyring names, then
    /// others.
    fn forms(&self) -> [Vec<Name>; 2] {
        let is_form = |name: &Name| {
            let held = self.held(*name);
            held.is_valid() && held != Held::Misbound && self.accepts(*name)
        };
        let named: Vec<_> = self.named().into_iter().filter(is_form).collect();
        let others = self.listed().into_iter().filter(is_form);
        let others = others.filter(|name| !self.named().contains(name)).collect();
        [named, others]
    }

    fn read(&self) -> Expected {
        if self.wrapped == Wrapped::Attached {
            // Its own keys are genuine, and what they are not permitted, no key object is.
            let permitted = [Name::East, Name::West].map(|name| self.permit(name, false));
            return match permitted.iter().any(Result::is_ok) {
                true => Ok(Outcome::Plaintext),
                false => Err(worst(permitted.into_iter().filter_map(Result::err))),
            };
        }
        let mut failure = None;
        for names in self.forms().iter().filter(|names| !names.is_empty()) {
            match self.open(names) {
                Ok(()) => return Ok(Outcome::Plaintext),
                Err(kind) => failure = failure.or(Some(kind)),
            }
        }
        Err(failure.unwrap_or(ErrorKind::KeyObjectMissing))
    }

    /// Asks the keyring about one form. Its id proves what it holds.
    fn proof(&self, name: Name) -> Proof {
        match (self.accepts(name), self.permit(name, false), self.held(name)) {
            (false, ..) => Proof::NotAsked,
            (_, Err(kind), _) => Proof::Unknown(kind),
            (_, Ok(()), Held::Genuine) => Proof::Proven,
            _ => Proof::Disproved,
        }
    }

    fn verified(&self) -> Outcome {
        let valid = self.listed().into_iter().filter(|name| self.held(*name).is_valid());
        Outcome::Proofs(valid.map(|name| (name, self.proof(name))).collect::<BTreeMap<_, _>>())
    }

    /// Returns the forms that a new one can be made from.
    fn sources(&self) -> Result<Vec<Name>, ErrorKind> {
        let is_source = |name: &Name| self.held(*name).is_valid() && self.accepts(*name);
        let is_seen = |name: &Name| self.is_flooded() || self.listed().contains(name);
        let named: Vec<_> =
            self.named().into_iter().filter(|name| is_seen(name) && is_source(name)).collect();
        let sources = match named.is_empty() {
            true => self.listed().into_iter().filter(is_source).collect(),
            false => named,
        };
        if sources.is_empty() { Err(ErrorKind::KeyObjectMissing) } else { Ok(sources) }
    }

    /// Makes a form under New: what it holds, and `true` if it was unwrapped.
    fn made(&self) -> Result<(Held, bool), ErrorKind> {
        let sources = self.sources()?;
        // Where key objects claim different bindings, only a proof tells which one is the key's.
        let is_one_binding =
            sources.len() == 1 || sources.iter().all(|name| self.held(*name) != Held::Misbound);
        if is_one_binding && sources.iter().any(|name| name.is_east()) {
            match self.permit(Name::New, true) {
                Err(ErrorKind::Throttled) => return Err(ErrorKind::Throttled),
                Err(_) => {}
                Ok(()) => {
                    let held = sources.iter().filter(|it| it.is_east()).map(|it| self.held(*it));
                    let mut accepted =
                        held.filter(|held| matches!(held, Held::Genuine | Held::Strangers));
                    if let Some(held) = accepted.next() {
                        return Ok((held, false));
                    }
                }
            }
        }
        self.open(&sources)?;
        self.permit(Name::New, false)?;
        Ok((Held::Genuine, true))
    }

    fn added(&self) -> Result<Report, ErrorKind> {
        if self.listed().contains(&Name::New) {
            return Ok(Report { claimed: [Name::New].into(), ..Report::default() });
        }
        let (_, opens) = self.made()?;
        Ok(Report { added: [Name::New].into(), opens, ..Report::default() })
    }

    fn added_and_proven(&self) -> Result<Report, ErrorKind> {
        if !self.listed().contains(&Name::New) {
            return self.added();
        }
        self.permit(Name::New, false)?;
        let new = Names::from([Name::New]);
        if self.held(Name::New) == Held::Genuine {
            return Ok(Report { proven: new, opens: true, ..Report::default() });
        }
        self.open(&self.sources()?)?;
        Ok(Report { added: new.clone(), disproved: new, opens: true, ..Report::default() })
    }

    fn replaced(&self, proves: bool) -> Result<Report, ErrorKind> {
        if self.is_flooded() {
            return Err(ErrorKind::Unsupported);
        }
        let (held, report) = match self.listed().contains(&Name::New) {
            true => (self.held(Name::New), self.added()?),
            false => (self.made()?.0, self.added()?),
        };
        let name = |name: Name| self.held(name).is_valid().then_some(name);
        let doomed = self.listed().into_iter().filter(|it| *it != Name::New).map(name).collect();
        if !proves {
            return Ok(Report { removed: doomed, ..report });
        }
        match self.permit(Name::New, false) {
            Ok(()) if held == Held::Genuine => {
                Ok(Report { removed: doomed, opens: true, ..report })
            }
            Ok(()) | Err(ErrorKind::AccessDenied) => Ok(Report { kept: doomed, ..report }),
            Err(kind) => Err(kind),
        }
    }

    fn removed(&self) -> Result<Report, ErrorKind> {
        if self.is_flooded() {
            return Err(ErrorKind::Unsupported);
        }
        if !self.listed().contains(&Name::East) {
            return Ok(Report::default());
        }
        let others: Vec<_> = self.listed().into_iter().filter(|it| *it != Name::East).collect();
        if others.is_empty() {
            return Err(ErrorKind::InvalidInput);
        }
        let east = [self.held(Name::East).is_valid().then_some(Name::East)].into();
        let proofs: Vec<_> = others.iter().map(|name| self.proof(*name)).collect();
        if proofs.contains(&Proof::Proven) {
            // One that claims another binding goes only if it is disproved.
            let is_other = self.held(Name::East) == Held::Misbound;
            return Ok(match is_other && self.proof(Name::East) != Proof::Disproved {
                true => Report { kept: east, opens: true, ..Report::default() },
                false => Report { removed: east, opens: true, ..Report::default() },
            });
        }
        let unknown = proofs.into_iter().find_map(|proof| match proof {
            Proof::Unknown(kind) if kind != ErrorKind::AccessDenied => Some(kind),
            _ => None,
        });
        unknown.map_or(Ok(Report { kept: east, ..Report::default() }), Err)
    }

    fn refreshed(&self, unproven: bool) -> Result<Report, ErrorKind> {
        let is_mine = |name: &Name| self.held(*name).is_valid() && self.accepts(*name);
        let is_seen = |name: &Name| self.is_flooded() || self.listed().contains(name);
        let named = self.named().into_iter().filter(is_seen);
        let others = self.listed().into_iter().filter(|name| !self.named().contains(name));
        let names: Vec<_> = named.chain(others).filter(is_mine).collect();
        if names.is_empty() {
            return Err(ErrorKind::KeyObjectMissing);
        }
        let mut report = Report::default();
        for name in names {
            self.permit(name, true)?;
            let held = self.held(name);
            let may_decrypt = self.permit(name, false).is_ok();
            let is_disproved = matches!(held, Held::Rejected | Held::Misbound)
                || (may_decrypt && held == Held::Strangers);
            if is_disproved {
                report.disproved.insert(name);
                report.kept.insert(Some(name));
            } else if may_decrypt || unproven {
                report.refreshed.insert(name);
                report.opens |= may_decrypt;
            } else {
                report.kept.insert(Some(name));
            }
        }
        Ok(report)
    }

    /// The operator reads with West and New, or with any key of the account.
    fn retired(&self) -> Outcome {
        let reads =
            |name: Name| self.role == Role::Account || matches!(name, Name::West | Name::New);
        let is_form =
            |name: &Name| self.held(*name).is_valid() && self.held(*name) != Held::Misbound;
        let stored: Vec<_> = self.listed().into_iter().filter(is_form).collect();
        let opens = |name: Name| reads(name) && self.permit(name, false).is_ok();
        let is_proven = |name: &Name| opens(*name) && self.held(*name) == Held::Genuine;
        let is_attached = self.wrapped == Wrapped::Attached;
        // Its own keys are genuine.
        let own_west = is_attached && opens(Name::West);
        let disproved = |name: Name| opens(name) && self.held(name) != Held::Genuine;
        let names_east = is_attached || (stored.contains(&Name::East) && !disproved(Name::East));
        let by_key_store = stored.iter().any(|name| *name != Name::East && is_proven(name));
        let verdict = match names_east {
            true if own_west => "covered",
            true if by_key_store => "covered-by-key-store",
            true => "needed",
            // No other key opens it, so it may be under East, whatever became of its key object.
            false if !by_key_store => "unknown",
            false => "unrelated",
        };
        Outcome::Retired(verdict, !matches!(verdict, "needed" | "unknown"))
    }

    fn copied(&self, is_near: bool) -> Expected {
        let [named, others] = self.forms();
        let forms = [named, others].concat();
        if forms.is_empty() {
            return Err(ErrorKind::KeyObjectMissing);
        }
        let none = || Outcome::Copied { disproved: Names::new(), missing: Names::new() };
        if is_near {
            // In its scope, the key and all of its forms go along.
            return self.open(&forms).map(|()| none());
        }
        let (mut disproved, mut failures, mut unknown) = (Names::new(), Vec::new(), false);
        for name in &forms {
            match (self.permit(*name, false), self.held(*name)) {
                (Err(kind), _) => {
                    failures.push(kind);
                    unknown = true;
                }
                (Ok(()), Held::Genuine) => {}
                _ => {
                    failures.push(ErrorKind::Authentication);
                    disproved.insert(*name);
                }
            }
        }
        if unknown || disproved.len() == forms.len() {
            return Err(worst(failures));
        }
        Ok(Outcome::Copied { disproved, missing: Names::new() })
    }
}
