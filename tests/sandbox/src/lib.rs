//! Two simulated CRMs over real HTTP: Zoho CRM and Vtiger, with their limits, error bodies and oddities, scripted faults
//! and a full history of every change. They are how people try the product and how its tests know what is right.
//!
//! This crate depends on nothing of the product, because the product is judged by it. Start with [`crm`] (what a
//! simulated CRM is), [`serve`] (how one is started) and [`scenario`] (what must be true after a synchronisation).

pub mod clock;
pub mod crm;
pub mod faults;
pub mod history;
pub mod http;
pub mod people;
pub mod rng;
pub mod scenario;
pub mod serve;
pub mod vtiger;
pub mod zoho;

mod control;
mod gate;
