//! Bulk rewraps: listings, plans and jobs; faults, crashes and concurrent writers.

mod faults;
mod jobs;
mod listings;
mod model;
mod objects;
mod races;
