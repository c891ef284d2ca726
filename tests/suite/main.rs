//! The one test binary of the product: every room from outside, over real files and real sockets where they matter.

mod sim;
