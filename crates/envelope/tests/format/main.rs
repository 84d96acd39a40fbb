//! FORMAT.md, its examples and its vectors, against the library.

mod cases;
mod construct;
mod document;
mod library;
mod vectors;
