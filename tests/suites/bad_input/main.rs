//! Bad objects, keys, arguments, services and files: each has its own error, and leaves no
//! unverified byte, no partial file, no incomplete upload and no needless KMS call.

mod arguments;
mod every_byte;
mod hostile_store;
mod interruptions;
mod printed;
mod secrets;
mod services;
mod stored_objects;
mod targets;
mod truncation;
mod uploads;
mod wrapping_keys;
mod wrong_answers;
