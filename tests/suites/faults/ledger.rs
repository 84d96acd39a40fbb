//! The wire's record of an operation, and what the client could know from it.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use sealwax_tests::Call;

use crate::plan::Fault;

/// All requests of an operation.
#[derive(Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<Vec<Entry>>>);

/// A request and its fault.
pub(crate) type Entry = (Call, Option<Fault>);

impl Ledger {
    pub(crate) fn note(&self, entry: Entry) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts the multipart uploads that may exist without the client's knowledge.
    pub(crate) fn unknown_uploads(&self) -> usize {
        let entries = self
            .entries()
            .into_iter()
            .filter(|(call, _)| call.operation == "CreateMultipartUpload");
        let unknown = entries.filter(|(call, fault)| {
            *fault == Some(Fault::Duplicate)
                || !call.is_answered() && fault.is_none_or(Fault::reaches_server)
        });
        unknown.count()
    }

    /// `true` if the plan kept every `AbortMultipartUpload` from the server.
    pub(crate) fn aborts_were_prevented(&self) -> bool {
        let mut aborts = self
            .entries()
            .into_iter()
            .filter(|(call, _)| call.operation == "AbortMultipartUpload")
            .peekable();
        aborts.peek().is_some()
            && aborts.all(|(_, fault)| fault.is_some_and(|fault| !fault.reaches_server()))
    }

    /// `true` if the client could not know that its object was stored: the server carried out the
    /// storing request, and the client got no valid response to its last `HeadObject` afterwards.
    pub(crate) fn hid_the_outcome(&self) -> bool {
        let entries = self.entries();
        let stores = |call: &Call| {
            matches!(&*call.operation, "PutObject" | "CompleteMultipartUpload" | "CopyObject")
        };
        let reached =
            |(call, fault): &Entry| stores(call) && fault.is_none_or(Fault::reaches_server);
        let Some(stored) = entries.iter().position(reached) else { return false };
        let look = entries[stored..].iter().rfind(|(call, _)| call.operation == "HeadObject");
        look.is_some_and(|(call, fault)| {
            !call.is_answered() || fault.is_some_and(Fault::spoils_answer)
        })
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (call, fault)) in self.entries().iter().enumerate() {
            let part = call.part.map(|part| format!(" of part {part}")).unwrap_or_default();
            let range =
                call.headers.get("range").map(|range| format!(" of {range}")).unwrap_or_default();
            let answered = if call.is_answered() { "answered" } else { "no answer" };
            writeln!(f, "  {number}: {}{part}{range}: {fault:?}, {answered}", call.operation)?;
        }
        Ok(())
    }
}
