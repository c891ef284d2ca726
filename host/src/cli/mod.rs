//! The command line: arguments, output, exit codes. It does nothing that the API cannot do too.

pub mod table;
