//! Bulk rewraps: listings, plans and jobs; faults, crashes and concurrent writers.

mod dry_runs;
mod faults;
mod jobs;
mod listings;
mod model;
mod objects;
mod races;
