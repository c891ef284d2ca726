//! The plugins that come with this program, built and wrapped by `host/build.rs`.

include!(concat!(env!("OUT_DIR"), "/bundled.rs"));
