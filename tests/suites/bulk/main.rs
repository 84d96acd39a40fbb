//! Rewraps of many objects: what is listed, planned and done; what faults, crashes and other writers leave.

mod faults;
mod jobs;
mod listings;
mod model;
mod objects;
mod races;
