//! The command against LocalStack, as a user runs it. `make test` starts the server.

mod aws_settings;
mod bulk;
mod inspect;
mod interrupts;
mod reencrypt;
mod refusals;
mod resume;
mod rewrap;
mod round_trip;
mod support;
mod uploads;
