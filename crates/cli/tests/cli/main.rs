//! The command against LocalStack, as a user runs it. `make test` starts the server.

mod audit;
mod aws_settings;
mod bulk;
mod copies;
mod doctor;
mod documents;
mod drill;
mod folders;
mod inspect;
mod interrupts;
mod local_key;
mod manual;
mod reading;
mod reencrypt;
mod refusals;
mod resume;
mod rewrap;
mod round_trip;
mod runbook;
mod s3ec;
mod settings;
mod shred;
mod support;
mod uploads;
mod verify;
