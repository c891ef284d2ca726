//! Lines for the operator: [`error!`](crate::error), [`warning!`](crate::warning), [`info!`](crate::info) and
//! [`debug!`](crate::debug), written as `format!` is. Never log customers' values.

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Something is broken.
    Error = 0,
    /// Something is not as it should be.
    Warning = 1,
    /// Something worth knowing.
    Info = 2,
    /// For whoever searches for a defect.
    Debug = 3,
}

/// Writes one line of at most 1,024 bytes; the host takes 100 lines in one call.
pub fn write(level: Level, message: &str) {
    #[cfg(target_arch = "wasm32")]
    crate::bindings::connector::crmsync::plugin::log::write(level as u8, message);
    #[cfg(not(target_arch = "wasm32"))]
    eprintln!("{level:?}: {message}");
}

/// Logs that something is broken.
#[macro_export]
macro_rules! error {
    ($($message:tt)*) => { $crate::log::write($crate::log::Level::Error, &format!($($message)*)) };
}

/// Logs that something is not as it should be.
#[macro_export]
macro_rules! warning {
    ($($message:tt)*) => { $crate::log::write($crate::log::Level::Warning, &format!($($message)*)) };
}

/// Logs something worth knowing.
#[macro_export]
macro_rules! info {
    ($($message:tt)*) => { $crate::log::write($crate::log::Level::Info, &format!($($message)*)) };
}

/// Logs something for whoever searches for a defect.
#[macro_export]
macro_rules! debug {
    ($($message:tt)*) => { $crate::log::write($crate::log::Level::Debug, &format!($($message)*)) };
}
