//! Keys of ours: those that copies carry, and those that are never given twice.

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::app::App;
use crate::engine::{self, CopyOf};
use crate::store::ConnectionRow;

/// Bytes of a key, behind its mark.
const KEY_BYTES: usize = 16;

/// The keys of a flow's copies. They are the same after an old copy of the data folder was put back, as its key file says them; and others
/// between other organisations, whose records may have equal ids.
pub(super) fn of_copies(
    app: &App,
    tenant: &str,
    flow: &str,
    connections: [&ConnectionRow; 2],
) -> impl Fn(&CopyOf<'_>) -> String + Send + Sync + 'static + use<> {
    let [left, right] = connections.map(|connection| connection.org_id.as_str());
    keyed(app.store().key_for("copies").as_slice(), [tenant, flow, left, right])
}

fn keyed(secret: &[u8], of: [&str; 4]) -> impl Fn(&CopyOf<'_>) -> String + Send + Sync + 'static + use<> {
    let mut begun = <Hmac<Sha256> as Mac>::new_from_slice(secret).expect("a key of any length will do");
    of.iter().for_each(|part| add(&mut begun, part));
    move |copy| {
        let mut mac = begun.clone();
        let [left, right] = copy.modules;
        [left, right, copy.from.as_str(), copy.record].iter().for_each(|part| add(&mut mac, part));
        mac.update(&copy.generation.to_le_bytes());
        spelled(&mac.finalize().into_bytes()[..KEY_BYTES])
    }
}

/// With its length, so that no two lists of parts read alike.
fn add(mac: &mut Hmac<Sha256>, part: &str) {
    mac.update(&(part.len() as u64).to_le_bytes());
    mac.update(part.as_bytes());
}

/// A key of ours that is never given twice: 128 random bits.
pub(super) fn new_key() -> String {
    let mut bytes = [0_u8; KEY_BYTES];
    // Without randomness no create may be keyed; the process stops rather than repeat a key.
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    spelled(&bytes)
}

fn spelled(bytes: &[u8]) -> String {
    let mut key = engine::KEY_MARK.to_owned();
    bytes.iter().for_each(|byte| key.push_str(&format!("{byte:02x}")));
    key
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crmsync_core::Side;

    use super::*;

    #[test]
    fn a_copy_has_one_key_and_every_other_one_another() {
        let of = ["local", "sales", "acme", "acme.example"];
        let copy = CopyOf { modules: ["Contacts", "Contacts"], from: Side::Left, record: "12x5", generation: 1 };
        let key = keyed(b"secret", of)(&copy);
        assert_eq!(keyed(b"secret", of)(&copy), key, "also for another process");
        let mut keys = BTreeSet::from([key]);
        let mut other = |secret: &[u8], of: [&str; 4], copy: CopyOf<'_>, case: &str| {
            assert!(keys.insert(keyed(secret, of)(&copy)), "{case}");
        };
        other(b"another", of, copy, "another host");
        other(b"secret", ["else", "sales", "acme", "acme.example"], copy, "another tenant");
        other(b"secret", ["local", "buyers", "acme", "acme.example"], copy, "another flow");
        // Ids are an installation's own: its 12x5 is somebody else.
        other(b"secret", ["local", "sales", "acme", "copy.example"], copy, "another organisation");
        other(b"secret", ["local", "sales", "acmea", "cme.example"], copy, "a name that ends elsewhere");
        other(b"secret", of, CopyOf { modules: ["Leads", "Contacts"], ..copy }, "another module");
        other(b"secret", of, CopyOf { from: Side::Right, ..copy }, "another side");
        other(b"secret", of, CopyOf { record: "12x50", ..copy }, "another record");
        other(b"secret", of, CopyOf { generation: 2, ..copy }, "another copy");
        assert!(keys.iter().all(|key| key.len() == engine::KEY_MARK.len() + 2 * KEY_BYTES));
    }
}
