//! Plans: which request meets which fault.

use std::time::Duration;

use sealwax_tests::{Call, Ending, Random, Reaction};

/// Fault of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    Refuse,
    CutRequest,
    InternalError,
    ServiceUnavailable,
    SlowDown,
    Conflict,
    PreconditionFailed,
    TimeOut,
    Delay,
    Duplicate,
    LoseAnswer,
    TimeOutAnswer,
    EndAnswerEarly,
    BreakAnswer,
    StallAnswer,
    CorruptAnswer,
}

impl Fault {
    pub(crate) const ALL: [Self; 16] = [
        Self::Refuse,
        Self::CutRequest,
        Self::InternalError,
        Self::ServiceUnavailable,
        Self::SlowDown,
        Self::Conflict,
        Self::PreconditionFailed,
        Self::TimeOut,
        Self::Delay,
        Self::Duplicate,
        Self::LoseAnswer,
        Self::TimeOutAnswer,
        Self::EndAnswerEarly,
        Self::BreakAnswer,
        Self::StallAnswer,
        Self::CorruptAnswer,
    ];

    /// `true` if the server receives the complete request and carries it out.
    pub(crate) fn reaches_server(self) -> bool {
        self >= Self::Delay
    }

    /// `true` if the response is unusable, or is not the server's.
    pub(crate) fn spoils_answer(self) -> bool {
        !matches!(self, Self::Delay | Self::Duplicate)
    }

    /// `true` if every operation except a get must succeed in spite of it.
    pub(crate) fn is_survived(self, for_good: bool) -> bool {
        match self {
            // It looks like a genuine response of the server.
            Self::Conflict | Self::PreconditionFailed => false,
            Self::Delay | Self::Duplicate => true,
            _ => !for_good,
        }
    }

    /// `true` if the fault applies to this operation. Only `GetObject` responses are corrupted,
    /// because only TLS protects the others. S3's checksums protect requests.
    pub(crate) fn strikes(self, operation: &str) -> bool {
        match self {
            Self::CutRequest => {
                matches!(operation, "PutObject" | "UploadPart" | "CompleteMultipartUpload")
            }
            Self::CorruptAnswer | Self::StallAnswer => operation == "GetObject",
            // A truncated upload ID is another ID. Only HTTP framing protects against that.
            Self::EndAnswerEarly => {
                matches!(operation, "GetObject" | "CompleteMultipartUpload" | "CopyObject")
            }
            _ => true,
        }
    }

    /// Returns the wire's reaction. `at` is the position in a body.
    pub(crate) fn reaction(self, at: usize) -> Reaction {
        let answer = |status, code: &str| {
            Reaction::Answer(
                status,
                format!(
                    "<Error><Code>{code}</Code><Message>injected by the plan</Message></Error>"
                ),
            )
        };
        match self {
            Self::Refuse => Reaction::Refuse,
            Self::CutRequest => Reaction::CutRequest(at),
            Self::InternalError => answer(500, "InternalError"),
            Self::ServiceUnavailable => answer(503, "ServiceUnavailable"),
            Self::SlowDown => answer(503, "SlowDown"),
            Self::Conflict => answer(409, "ConditionalRequestConflict"),
            Self::PreconditionFailed => answer(412, "PreconditionFailed"),
            Self::TimeOut => Reaction::TimeOut,
            Self::Delay => {
                Reaction::Await(Box::pin(tokio::time::sleep(Duration::from_millis(at as u64 % 20))))
            }
            Self::Duplicate => Reaction::Duplicate,
            Self::LoseAnswer => Reaction::LoseAnswer,
            Self::TimeOutAnswer => Reaction::TimeOutAnswer,
            Self::EndAnswerEarly => Reaction::CutAnswer(at, Ending::Clean),
            Self::BreakAnswer => Reaction::CutAnswer(at, Ending::Broken),
            Self::StallAnswer => Reaction::CutAnswer(at, Ending::TimedOut),
            Self::CorruptAnswer => Reaction::Corrupt(at),
        }
    }
}

/// Faults on the wire during one operation. The fault of a request depends on its kind and number
/// of tries, not on its time, because parts are sent in parallel.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    seed: u64,
    /// Share of requests with a fault, in thousandths.
    per_mille: usize,
    kinds: Vec<Fault>,
    /// Permanent faults by operation.
    for_good: Vec<(&'static str, Fault)>,
    /// The fault of the request with this number. If the flag is set, all later requests of the
    /// same operation have it too.
    exactly: Option<(usize, Fault, bool)>,
    /// Number of the request at which the operation's future is dropped.
    pub(crate) drop_at: Option<usize>,
}

/// Number of requests that a permanent fault strikes. It outlasts all retries, but each run ends.
const FOR_GOOD: usize = 16;

impl Plan {
    /// Returns a plan without faults.
    pub(crate) fn calm() -> Self {
        Self {
            seed: 0,
            per_mille: 0,
            kinds: vec![],
            for_good: vec![],
            exactly: None,
            drop_at: None,
        }
    }

    /// Returns a random plan for an operation that sends requests of the kinds `sends`.
    pub(crate) fn random(random: &mut Random, sends: &[&'static str]) -> Self {
        let possible = Fault::ALL
            .into_iter()
            .filter(|fault| sends.iter().any(|operation| fault.strikes(operation)));
        let possible: Vec<_> = possible.collect();
        let fault = |random: &mut Random| random.pick(&possible);
        let mut plan = Self { seed: random.word(), ..Self::calm() };
        plan.per_mille = random.pick(&[20, 100, 250, 500]);
        let kinds = if random.one_in(3) { 1 } else { 24 };
        plan.kinds = (0..kinds).map(|_| fault(random)).collect();
        if random.one_in(3) {
            let operation = random.pick(sends);
            plan.for_good.push((operation, fault(random)));
            match operation {
                // An abort needs another failure before it.
                "AbortMultipartUpload" => {
                    plan.for_good.push(("CompleteMultipartUpload", Fault::Refuse));
                }
                _ if random.one_in(3) => plan.for_good.push(("HeadObject", fault(random))),
                _ => {}
            }
        }
        plan.drop_at = random.one_in(6).then(|| random.below(6));
        plan
    }

    /// Returns a plan with one fault, at the request with this number. With `for_good`, all later
    /// requests of the same operation have it too.
    pub(crate) fn exactly(at: usize, fault: Fault, for_good: bool) -> Self {
        Self { exactly: Some((at, fault, for_good)), ..Self::calm() }
    }

    /// Returns a plan that drops the future at the request with this number.
    pub(crate) fn dropping(at: usize) -> Self {
        Self { drop_at: Some(at), ..Self::calm() }
    }

    /// Returns the fault of `call` and its position in a body. The call is the `index`th request of
    /// all and the `tries`th of its kind. `struck` is the operation that the exact fault has
    /// struck.
    pub(crate) fn strike(
        &self,
        call: &Call,
        index: usize,
        tries: usize,
        struck: Option<&str>,
    ) -> Option<(Fault, usize)> {
        let range = call.headers.get("range").map_or("", String::as_str);
        let part = u64::from(call.part.unwrap_or_default());
        let what = call.operation.bytes().chain(range.bytes()).map(u64::from);
        let mut random = Random::of([self.seed, part, tries as u64].into_iter().chain(what));
        let at = random.below(usize::MAX);
        let unlucky = random.below(1000) < self.per_mille;
        let drawn = unlucky.then(|| random.pick(&self.kinds));
        let for_good = self
            .for_good
            .iter()
            .find(|(operation, _)| call.operation == *operation && call.nth < FOR_GOOD);
        let exactly = self.exactly.filter(|(number, _, for_good)| {
            *number == index
                || (*for_good && struck == Some(call.operation.as_str()) && call.nth < FOR_GOOD)
        });
        let fault =
            exactly.map(|(_, fault, _)| fault).or(for_good.map(|(_, fault)| *fault)).or(drawn);
        Some((fault.filter(|fault| fault.strikes(&call.operation))?, at))
    }
}
