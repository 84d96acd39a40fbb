//! The command against LocalStack, as a user runs it. `make test` starts the server.

mod audit;
mod aws_settings;
mod bulk;
mod drill;
mod inspect;
mod interrupts;
mod reencrypt;
mod refusals;
mod resume;
mod rewrap;
mod round_trip;
mod runbook;
mod s3ec;
mod shred;
mod support;
mod uploads;
mod verify;
