//! What happened on the wire during an operation, and what the client could know of it.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use sealwax_tests::Call;

use crate::plan::Fault;

/// What happened, request by request.
#[derive(Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<Vec<Entry>>>);

/// A request, and what it suffered.
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

    /// How many multipart uploads may have been begun of which the client cannot know.
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

    /// Whether the plan, or a timeout, kept every `AbortMultipartUpload` from the server.
    pub(crate) fn aborts_were_prevented(&self) -> bool {
        let mut aborts = self
            .entries()
            .into_iter()
            .filter(|(call, _)| call.operation == "AbortMultipartUpload")
            .peekable();
        aborts.peek().is_some()
            && aborts.all(|(_, fault)| fault.is_some_and(|fault| !fault.reaches_server()))
    }

    /// Whether nothing could tell the client that its object was stored: the storing request was carried out, and the
    /// last look at the object after it was spoiled.
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
