//! Guests that do what they must not, and the named errors that they get for it.

mod accepting;
pub(super) mod crm;
mod gate;
mod guest;
mod hostile;
mod loading;
mod running;
mod transforming;
