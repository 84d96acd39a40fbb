//! Whatever is wrong with an object, a key, an argument, a service or a file: its own clear error, no unverified byte,
//! no half-written file, no unfinished upload, and no KMS call that need not be.

mod arguments;
mod every_byte;
mod interruptions;
mod printed;
mod secrets;
mod services;
mod stored_objects;
mod targets;
mod truncation;
mod uploads;
mod wrapping_keys;
