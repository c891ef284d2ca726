//! The whole connector against a small Zoho in memory, which keeps to the rules that the connector relies on: lists in the order of
//! change times, inclusive `If-Modified-Since`, bound page tokens, times with the resolution of a second and an offset that is not UTC.

mod metadata;
mod properties;
mod pull;
mod push;
mod zoho;
