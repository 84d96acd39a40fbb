//! Tests of the library against FORMAT.md, its examples and its vectors.

mod cases;
mod construct;
mod document;
mod library;
mod rules;
mod vectors;
