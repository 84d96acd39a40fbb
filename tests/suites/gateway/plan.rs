//! Plans: which upstream request of the gateway meets which fault.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use sealwax_tests::{Call, Ending, Reaction, Wire};

/// Fault of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    AccessDenied,
    InternalError,
    Unavailable,
    Throttled,
    Refuse,
    LoseAnswer,
    BreakAnswer,
    EndAnswerEarly,
}

impl Fault {
    pub(crate) const ALL: [Self; 8] = [
        Self::AccessDenied,
        Self::InternalError,
        Self::Unavailable,
        Self::Throttled,
        Self::Refuse,
        Self::LoseAnswer,
        Self::BreakAnswer,
        Self::EndAnswerEarly,
    ];

    /// `true` if the server carries out the request.
    pub(crate) fn reaches_server(self) -> bool {
        self >= Self::LoseAnswer
    }

    /// `true` if a repeated request may succeed.
    pub(crate) fn is_transient(self) -> bool {
        self != Self::AccessDenied
    }

    /// `true` if the fault applies to this operation: an answer without a body does not end early.
    pub(crate) fn strikes(self, operation: &str) -> bool {
        const WITHOUT_BODY: [&str; 6] = [
            "AbortMultipartUpload",
            "DELETE tagging",
            "DeleteObject",
            "PUT tagging",
            "PutObject",
            "UploadPart",
        ];
        match self {
            Self::BreakAnswer => operation != "HeadObject",
            Self::EndAnswerEarly => operation != "HeadObject" && !WITHOUT_BODY.contains(&operation),
            _ => true,
        }
    }

    fn reaction(self, call: &Call) -> Reaction {
        let answer = |status, of_s3: &str, of_kms: &str| {
            Reaction::Answer(
                status,
                match call.service == "kms" {
                    true => format!("{{\"__type\":\"{of_kms}\",\"message\":\"injected\"}}"),
                    false => format!("<Error><Code>{of_s3}</Code></Error>"),
                },
            )
        };
        // Somewhere in the body.
        let at = 1_000_003;
        match self {
            Self::AccessDenied if call.service == "kms" => answer(400, "", "AccessDeniedException"),
            Self::AccessDenied => answer(403, "AccessDenied", ""),
            Self::InternalError => answer(500, "InternalError", "KMSInternalException"),
            Self::Unavailable => answer(503, "ServiceUnavailable", "DependencyTimeoutException"),
            Self::Throttled if call.service == "kms" => answer(400, "", "ThrottlingException"),
            Self::Throttled => answer(503, "SlowDown", ""),
            Self::Refuse => Reaction::Refuse,
            Self::LoseAnswer => Reaction::LoseAnswer,
            Self::BreakAnswer => Reaction::CutAnswer(at, Ending::Broken),
            Self::EndAnswerEarly => Reaction::CutAnswer(at, Ending::Clean),
        }
    }
}

/// Fault of one request: the `nth` of its operation, and all later ones with `for_good`.
#[derive(Debug, Clone)]
pub(crate) struct Strike {
    pub(crate) operation: String,
    pub(crate) nth: usize,
    pub(crate) fault: Fault,
    pub(crate) for_good: bool,
}

impl Strike {
    /// `true` if the library repeats the request, and succeeds if the fault was one of this request
    /// alone. The SDK does not repeat one whose answer it could not read to its end.
    pub(crate) fn is_survived(&self) -> bool {
        let is_repeated = self.fault != Fault::EndAnswerEarly || self.operation == "GetObject";
        self.fault.is_transient() && is_repeated && !self.for_good
    }

    fn hits(&self, call: &Call) -> bool {
        self.operation == call.operation
            && (self.nth == call.nth || (self.for_good && self.nth < call.nth))
            && self.fault.strikes(&call.operation)
    }
}

/// A request and its fault.
type Entry = (Call, Option<Fault>);

/// A wire that follows a plan until it is calmed, and the record of its requests.
#[derive(Clone)]
pub(crate) struct PlannedWire {
    pub(crate) wire: Wire,
    ledger: Arc<Mutex<Vec<Entry>>>,
    is_calm: Arc<AtomicBool>,
}

impl PlannedWire {
    pub(crate) fn new(strikes: Vec<Strike>) -> Self {
        let (ledger, is_calm) = (Arc::<Mutex<Vec<Entry>>>::default(), Arc::<AtomicBool>::default());
        let (noted, calmed) = (Arc::clone(&ledger), Arc::clone(&is_calm));
        let wire = Wire::new(move |call| {
            let strike = strikes.iter().find(|strike| strike.hits(call));
            let fault =
                strike.map(|strike| strike.fault).filter(|_| !calmed.load(Ordering::Relaxed));
            let entry = (call.clone(), fault);
            noted.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
            fault.map_or(Reaction::Pass, |fault| fault.reaction(call))
        });
        Self { wire, ledger, is_calm }
    }

    /// Passes every request from now on.
    pub(crate) fn calm(&self) {
        self.is_calm.store(true, Ordering::Relaxed);
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns operation and number of each request.
    pub(crate) fn requests(&self) -> Vec<(String, usize)> {
        self.entries().into_iter().map(|(call, _)| (call.operation, call.nth)).collect()
    }

    /// `true` if the server got a request that changes an object.
    pub(crate) fn has_written(&self) -> bool {
        const WRITES: [&str; 7] = [
            "PutObject",
            "CompleteMultipartUpload",
            "CopyObject",
            "DeleteObject",
            "POST delete",
            "PUT tagging",
            "DELETE tagging",
        ];
        self.entries().iter().any(|(call, fault)| {
            WRITES.contains(&&*call.operation) && fault.is_none_or(Fault::reaches_server)
        })
    }

    /// Counts the uploads that may exist without the gateway's knowledge, because the answer was lost.
    pub(crate) fn unknown_uploads(&self) -> usize {
        let entries = self.entries().into_iter();
        entries
            .filter(|(call, fault)| {
                call.operation == "CreateMultipartUpload"
                    && fault.is_some_and(Fault::reaches_server)
            })
            .count()
    }

    /// `true` if a request to abort an upload failed for good.
    pub(crate) fn was_abort_prevented(&self) -> bool {
        let entries = self.entries();
        let mut aborts =
            entries.iter().filter(|(call, _)| call.operation == "AbortMultipartUpload").peekable();
        aborts.peek().is_some() && aborts.all(|(_, fault)| fault.is_some())
    }
}

impl fmt::Debug for PlannedWire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (call, fault) in self.entries() {
            writeln!(f, "  {} {}: {fault:?}", call.operation, call.nth)?;
        }
        Ok(())
    }
}
