//! The server over real HTTP: what a client of a real Vtiger would see.

mod client;
mod faults;
mod metadata;
mod people;
mod queries;
mod screen;
mod sessions;
mod sync;
mod writes;
