//! Measured operations.

/// Measured operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    Put,
    Get,
    /// Put from standard input.
    Stream,
}

impl Operation {
    /// Returns the operation on a file.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Get => "get",
            Self::Stream => "put of standard input",
        }
    }
}
