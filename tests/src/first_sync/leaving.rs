//! What left, and what only cannot be seen any more: empty and cut lists, rights that were taken away, and many deletes at once. In no
//! mode of deletes a record goes because the other one was merely absent.

use std::collections::BTreeSet;
use std::time::Instant;

use crmsync::app::LOCAL_TENANT;
use crmsync::engine::RunReport;
use crmsync::service;
use crmsync_sandbox::people::Side;
use crmsync_sandbox::serve;
use serde_json::{Value, json};

use super::Options;
use super::changes;
use super::report::Report;
use super::stage::Stage;
use crate::Outcome;
use crate::crms::{SIDES, name};
use crate::product::Product;
use crate::workplace::{FLOW, flow_file, told};

const PART: &str = "D";
/// Percent of the records that are deleted at once.
const MANY_PERCENT: usize = 30;

/// How a side shows less than it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Veil {
    /// Every list is empty.
    Empty,
    /// Every list ends early, and says that it is whole.
    Cut,
    /// The user is no administrator any more, and many records are hidden from it.
    Demoted,
    /// The same, and the login that knew of it is over.
    LoggedInAnew,
    /// The user never was an administrator, and a few more records are hidden from it.
    Hidden,
}

/// What a flow does about deletes, and the lines of its file for that.
const MODES: [(&str, &str); 3] = [
    ("report", "deletes = \"report\""),
    ("mark", "deletes = \"mark\"\nmark = { zoho = \"Fax\", vtiger = \"fax\", value = \"deleted elsewhere\" }"),
    ("recycle", "deletes = \"recycle\""),
];

/// Everything about records that leave.
pub(super) async fn judge(product: &Product, options: &Options, report: &mut Report) -> Outcome<()> {
    let people = serve::Options {
        records: (options.records / 10).max(100),
        organizations: Some(3),
        leads: Some(3),
        families: Some(4),
        doubles: Some(2),
        seed: options.seed + 2,
        ..serve::Options::default()
    };
    let began = Instant::now();
    let mut office = Office::open(product, &people, true).await?;
    office.set(MODES[2].1).await?;
    for side in SIDES {
        office.many_at_once(side, report).await?;
    }
    report.took("many deletes at once", began);
    let began = Instant::now();
    for (mode, lines) in MODES {
        office.set(lines).await?;
        for veil in [Veil::Empty, Veil::Cut, Veil::Demoted, Veil::LoggedInAnew] {
            for side in SIDES {
                office.behind(veil, side, mode, report).await?;
            }
        }
    }
    report.took("lists that show too little, in three modes", began);
    let began = Instant::now();
    let mut office = Office::open(product, &people, false).await?;
    for (mode, lines) in &MODES[1..] {
        office.set(lines).await?;
        for side in SIDES {
            office.behind(Veil::Hidden, side, mode, report).await?;
        }
    }
    report.took("records that are hidden from a user without all rights", began);
    office.stage.weigh(report);
    Ok(())
}

/// Contacts that were synced, and people who delete some of them.
struct Office {
    stage: Stage,
    /// Linked records that nobody has deleted yet: Zoho's id and Vtiger's.
    pairs: Vec<[String; 2]>,
    /// Both ids of everybody whom somebody deleted.
    deleted: BTreeSet<String>,
    administrator: bool,
}

impl Office {
    async fn open(product: &Product, people: &serve::Options, administrator: bool) -> Outcome<Office> {
        let stage = Stage::of_contacts(product, people, administrator).await?;
        let file = flow_file().replace("fields = \"default\"", "fields = \"default\"\nskip = [\"Fax\"]");
        let mut office = Office { stage, pairs: Vec::new(), deleted: BTreeSet::new(), administrator };
        office.apply(&file).await?;
        office.stage.run(false).await?;
        office.stage.run(false).await?;
        // Where something is left out or asked, the other side still has news, and a delete is a person's matter.
        let open = office.stage.workplace.outcomes().await?;
        let lines = office.stage.workplace.log().await?.into_iter();
        office.pairs = lines
            .filter(|line| line.action == "linked" || line.action == "created")
            .filter(|line| open.iter().all(|outcome| outcome.record != line.left_id && outcome.record != line.right_id))
            .map(|line| [line.left_id, line.right_id])
            .collect();
        Ok(office)
    }

    async fn apply(&self, file: &str) -> Outcome<()> {
        service::apply(&self.stage.workplace.app, LOCAL_TENANT, "people.toml", file).await.map_err(told)?;
        self.stage.preview().await?;
        self.stage.approve().await.map(drop)
    }

    /// Lets the flow treat deletes so, as people have approved.
    async fn set(&self, deletes: &str) -> Outcome<()> {
        let file = flow_file().replace("fields = \"default\"", "fields = \"default\"\nskip = [\"Fax\"]");
        self.apply(&file.replace("deletes      = \"report\"", deletes)).await
    }

    /// One record is deleted on a side that then shows less than it holds; later it shows everything again.
    async fn behind(&mut self, veil: Veil, side: Side, mode: &str, report: &mut Report) -> Outcome<()> {
        let words = format!("{mode}, {veil:?} in {}", name(side));
        let other = SIDES[1 - side as usize];
        let ends = changes::ends(self.stage.crms()).await?;
        self.delete(side).await?;
        self.draw(veil, side).await?;
        let mut said = Vec::new();
        for _ in 0..2 {
            said.push(self.sweep().await?);
        }
        report.none(PART, format!("{words}: gone or marked without a delete"), &self.unasked(ends, other).await?);
        let said = said.join("\n");
        let cause = cause(veil, side, &said);
        if !cause {
            report.examples.push(format!("{words}: it says `{said}`"));
        }
        report.equal(PART, format!("{words}: the alarm names the cause"), cause, true);
        self.lift(side).await?;
        let said = self.sweep().await?;
        report.none(
            PART,
            format!("{words}: gone or marked without a delete, afterwards"),
            &self.unasked(ends, other).await?,
        );
        let events = changes::events_after(self.stage.crms(), ends).await?;
        let left = changes::ours(&events).filter(|(at, event)| *at == other && !changes::only_empties(event)).count();
        if left != usize::from(mode != "report") {
            report.examples.push(format!("{words}: afterwards it says `{said}`"));
        }
        report.equal(
            PART,
            format!("{words}: the one delete goes over afterwards"),
            left,
            usize::from(mode != "report"),
        );
        Ok(())
    }

    /// Many records are deleted at once: nothing happens until people consent, and then exactly that.
    async fn many_at_once(&mut self, side: Side, report: &mut Report) -> Outcome<()> {
        let many = self.pairs.len() * MANY_PERCENT / 100;
        let words = format!("{many} records deleted at once in {}", name(side));
        let other = SIDES[1 - side as usize];
        let ends = changes::ends(self.stage.crms()).await?;
        for _ in 0..many {
            self.delete(side).await?;
        }
        let deletes = |events: &[Vec<_>; 2]| changes::count(events, "Contacts", other, "delete");
        let mut said = String::new();
        for _ in 0..2 {
            said = self.sweep().await?;
            let events = changes::events_after(self.stage.crms(), ends).await?;
            report.equal(PART, format!("{words}: deleted on the other side, without consent"), deletes(&events), 0);
        }
        let cause = said.contains("safety stop") && said.contains(&many.to_string()) && said.contains("--deletes");
        report.equal(PART, format!("{words}: the safety stop says so"), cause, true);
        let _held: Value = self.stage.ask(&["flow", "approve", FLOW, "--deletes"]).await?;
        let said = self.sweep().await?;
        report.equal(PART, format!("{words}: it says after consent"), said, String::new());
        let events = changes::events_after(self.stage.crms(), ends).await?;
        report.equal(PART, format!("{words}: deleted on the other side, with consent"), deletes(&events), many as u64);
        report.none(PART, format!("{words}: gone without a delete"), &self.unasked(ends, other).await?);
        Ok(())
    }

    async fn delete(&mut self, side: Side) -> Outcome<()> {
        let pair = self.pairs.pop().ok_or("nobody is left to be deleted")?;
        self.stage.crms().delete(side, &pair[side as usize]).await?;
        self.deleted.extend(pair);
        Ok(())
    }

    async fn draw(&self, veil: Veil, side: Side) -> Outcome<()> {
        let crms = self.stage.crms();
        let fault = |action: Value| json!({ "faults": [{ "on": { "kind": "read", "times": 100_000 }, "do": action }] });
        match veil {
            Veil::Empty => crms.faults(side, &fault(json!({ "type": "empty_list" }))).await,
            Veil::Cut => crms.faults(side, &fault(json!({ "type": "cut_list", "rows": 5 }))).await,
            Veil::Demoted => crms.grant(side, false, 20).await,
            Veil::LoggedInAnew => {
                crms.grant(side, false, 20).await?;
                self.log_out(side).await
            }
            Veil::Hidden => crms.grant(side, false, 4).await,
        }
    }

    async fn lift(&self, side: Side) -> Outcome<()> {
        let crms = self.stage.crms();
        crms.faults(side, &json!({})).await?;
        crms.grant(side, self.administrator, 0).await?;
        self.log_out(side).await
    }

    /// Vtiger tells at the login what a user may see; Zoho whenever it is asked, and it gives few tokens in ten minutes.
    async fn log_out(&self, side: Side) -> Outcome<()> {
        if side == Side::Vtiger { self.stage.crms().expire(side).await } else { Ok(()) }
    }

    /// A run that looks for removed records; gives what it warns of, or why it fails.
    async fn sweep(&self) -> Outcome<String> {
        self.stage.apart().await?;
        let answer: Value = self.stage.ask(&["flow", "run", FLOW, "--sweep"]).await?;
        match serde_json::from_value::<RunReport>(answer.clone()) {
            Ok(run) => Ok(run.alarms.join("\n")),
            Err(_) => Ok(answer["error"]["message"].as_str().unwrap_or_default().to_owned()),
        }
    }

    /// Records that we deleted or changed on a side although nobody had deleted their partner.
    async fn unasked(&self, ends: [u64; 2], side: Side) -> Outcome<Vec<String>> {
        let events = changes::events_after(self.stage.crms(), ends).await?;
        let wrong = changes::ours(&events)
            .filter(|(at, event)| *at == side && !self.deleted.contains(&event.id) && !changes::only_empties(event));
        Ok(wrong.map(|(side, event)| format!("{} {} in {}", event.op, event.id, name(side))).collect())
    }
}

/// Whether what was said names the cause.
fn cause(veil: Veil, side: Side, said: &str) -> bool {
    let words: &[&str] = match (veil, side) {
        (Veil::Empty, _) => &["none of the"],
        // Deletes are announced there, so nobody looks for records by such lists, and nothing is missing.
        (Veil::Cut, Side::Zoho) => return true,
        (Veil::Cut, Side::Vtiger) => &["left out of its answers"],
        (Veil::Demoted | Veil::LoggedInAnew, _) => &["what this login may see changed"],
        (Veil::Hidden, _) => &["hidden from this login"],
    };
    said.contains("nothing is taken for deleted") && words.iter().any(|words| said.contains(words))
}
