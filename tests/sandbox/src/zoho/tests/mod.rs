//! The server over real HTTP: what a client of the real service would see.

mod client;
mod faults;
mod oauth;
mod reads;
mod screen;
mod seeds;
mod writes;
