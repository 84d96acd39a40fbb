//! Which request suffers what.

use std::time::Duration;

use sealwax_tests::{Call, Ending, Reaction};

/// `SplitMix64`: the same numbers for the same seed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Random(u64);

impl Random {
    /// Of several words, such as a seed and a name.
    pub(crate) fn of(words: impl IntoIterator<Item = u64>) -> Self {
        words.into_iter().fold(Self(0), |mut all, word| Self(all.next() ^ word))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("below a usize")
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    pub(crate) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

/// What a request suffers.
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

    /// Whether the server carries the request out, and knows it whole.
    pub(crate) fn reaches_server(self) -> bool {
        self >= Self::Delay
    }

    /// Whether the answer is worth nothing, or is not the server's.
    pub(crate) fn spoils_answer(self) -> bool {
        !matches!(self, Self::Delay | Self::Duplicate)
    }

    /// Whether every operation but a get must end well in spite of it.
    pub(crate) fn is_survived(self, for_good: bool) -> bool {
        match self {
            // An answer of the server's, as far as anybody can tell.
            Self::Conflict | Self::PreconditionFailed => false,
            Self::Delay | Self::Duplicate => true,
            _ => !for_good,
        }
    }

    /// Whether it means anything to this operation. Only answers to `GetObject` are corrupted: nothing but TLS guards
    /// the others, and S3's checksums the requests.
    pub(crate) fn strikes(self, operation: &str) -> bool {
        match self {
            Self::CutRequest => {
                matches!(operation, "PutObject" | "UploadPart" | "CompleteMultipartUpload")
            }
            Self::CorruptAnswer | Self::StallAnswer => operation == "GetObject",
            // An upload's name that is cut short is another name: nothing but the framing of HTTP guards against that.
            Self::EndAnswerEarly => {
                matches!(operation, "GetObject" | "CompleteMultipartUpload" | "CopyObject")
            }
            _ => true,
        }
    }

    /// `at`: where, in a body.
    pub(crate) fn reaction(self, at: usize) -> Reaction {
        let answer = |status, code: &str| {
            Reaction::Answer(
                status,
                format!("<Error><Code>{code}</Code><Message>of the plan</Message></Error>"),
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

/// What happens on the wire during one operation. What a request suffers depends on what it is and on how often it was
/// tried, and not on when it is sent: parts are sent in parallel.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    seed: u64,
    /// So many requests of a thousand suffer something.
    per_mille: usize,
    kinds: Vec<Fault>,
    /// These operations suffer it each time, for long.
    for_good: Vec<(&'static str, Fault)>,
    /// The request of this number suffers it; all later ones of its operation too, where the flag is set.
    exactly: Option<(usize, Fault, bool)>,
    /// The operation's future is dropped when this request is about to be sent.
    pub(crate) drop_at: Option<usize>,
}

/// A fault for good ends after so many requests: longer than any patience, but no run lasts forever.
const FOR_GOOD: usize = 16;

impl Plan {
    /// No faults.
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

    /// Of a seed, for an operation that sends requests of the kinds `sends`.
    pub(crate) fn random(random: &mut Random, sends: &[&'static str]) -> Self {
        let possible = Fault::ALL
            .into_iter()
            .filter(|fault| sends.iter().any(|operation| fault.strikes(operation)));
        let possible: Vec<_> = possible.collect();
        let fault = |random: &mut Random| random.pick(&possible);
        let mut plan = Self { seed: random.next(), ..Self::calm() };
        plan.per_mille = random.pick(&[20, 100, 250, 500]);
        let kinds = if random.one_in(3) { 1 } else { 24 };
        plan.kinds = (0..kinds).map(|_| fault(random)).collect();
        if random.one_in(3) {
            let operation = random.pick(sends);
            plan.for_good.push((operation, fault(random)));
            match operation {
                // Nothing is aborted unless something else failed.
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

    /// One fault at the request of this number; with `for_good` at all later ones of its operation too.
    pub(crate) fn exactly(at: usize, fault: Fault, for_good: bool) -> Self {
        Self { exactly: Some((at, fault, for_good)), ..Self::calm() }
    }

    /// The future is dropped at the request of this number.
    pub(crate) fn dropping(at: usize) -> Self {
        Self { drop_at: Some(at), ..Self::calm() }
    }

    /// What `call` suffers, and where in a body. It is the `index`-th request of all, and the `tries`-th of its kind.
    /// `struck`: the operation that the exact fault has struck.
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
