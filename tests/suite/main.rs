//! The one test binary of the product: every room from outside, over real files and real sockets where they matter.

mod architecture;
mod attention;
mod cli;
mod deletes;
mod egress_grant;
mod end_to_end;
mod faults;
mod first_sync;
mod guest_memory;
mod interrupt;
mod login;
mod matching;
mod preview;
mod product;
mod promises;
mod queries;
mod readme;
mod reasons;
mod references;
mod restart;
mod scope;
mod secrets;
mod serve;
mod setting_up;
mod sim;
mod undo;
