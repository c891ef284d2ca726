//! I14: the sync log against what the CRMs really carried out. A write that a CRM carried out has a line of its own, also if nobody heard
//! the answer; and no line tells of a write that no CRM carried out.

use std::collections::BTreeMap;

use crmsync::store::{JournalQuery, JournalRow};
use crmsync_core::Value;
use crmsync_core::decide::Operation;

use crate::crm::Written;
use crate::world::{FLOWS, World};

/// What a line of the log says about one write.
#[derive(Clone, Debug, Default)]
struct Told {
    /// Lines that say that it was carried out.
    done: usize,
    /// Lines that say that nobody knows.
    unknown: usize,
}

impl World {
    /// The log of a flow, whole.
    pub(crate) async fn journal(&self, flow: usize) -> Vec<JournalRow> {
        let query = JournalQuery { most: 1_000_000, ..JournalQuery::default() };
        self.hosts[0].journal(self.tenant, FLOWS[flow], query).await.expect("the journal can be read")
    }

    /// I14, once all is calm.
    pub(crate) async fn check_log(&self) {
        let mut told: BTreeMap<(usize, String), Told> = BTreeMap::new();
        for flow in 0..self.settings.len() {
            for line in self.journal(flow).await {
                let side = usize::from(line.side == "right");
                if let Some((about, is_known)) = about(&line, side) {
                    let told = told.entry((self.sides_of(flow)[side], about)).or_default();
                    *(if is_known { &mut told.done } else { &mut told.unknown }) += 1;
                }
            }
        }
        let mut wrong = Vec::new();
        for (number, crm) in self.crms.iter().enumerate() {
            let mut done: BTreeMap<String, usize> = BTreeMap::new();
            let written: Vec<Written> = crm.lock().written.clone();
            for write in &written {
                *done.entry(write.id.clone()).or_default() += 1;
            }
            for (id, count) in done {
                let lines = told.remove(&(number, id.clone())).unwrap_or_default();
                let creates = written.iter().filter(|write| write.id == id && write.operation == Operation::Create);
                let codes = creates.map(|write| write.code.clone());
                let unheard: usize =
                    codes.filter_map(|code| told.get(&(number, code))).map(|lines| lines.unknown).sum();
                let name = crm.habits.name;
                if lines.done + lines.unknown + unheard < count {
                    wrong.push(format!("I14: {id} in {name} was written {count} times, and the log has {lines:?}"));
                }
                if lines.done > count {
                    wrong
                        .push(format!("I14: {id} in {name} was written {count} times, and the log tells of {lines:?}"));
                }
            }
            for ((_, id), lines) in told.iter().filter(|((of, _), lines)| *of == number && lines.done > 0) {
                wrong.push(format!(
                    "I14: {id} in {} was never written, and the log tells of {lines:?}",
                    crm.habits.name
                ));
            }
        }
        self.log.lock().violations.extend(wrong);
    }
}

/// The record that a line says was written, or may have been: a create that nobody answered has none, and is known by its entity.
fn about(line: &JournalRow, side: usize) -> Option<(String, bool)> {
    let id = if side == 0 { &line.left_id } else { &line.right_id };
    match line.action.as_str() {
        "deleted" if line.detail.contains("gone already") => None,
        "created" | "updated" | "marked" | "unmarked" | "deleted" => Some((id.clone(), true)),
        "unknown" if id.is_empty() => {
            let after: BTreeMap<String, Vec<Value>> = serde_json::from_str(&line.after).ok()?;
            Some((after.get("Code=Code")?.first()?.display(), false))
        }
        "unknown" => Some((id.clone(), false)),
        _ => None,
    }
}
