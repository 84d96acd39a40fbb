//! The engine of all jobs.

pub(crate) mod limiter;
pub(crate) mod pool;
pub(crate) mod stop;
