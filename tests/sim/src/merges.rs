//! Records that were merged into others on one side, and what people answer. Neither sandbox CRM tells a program that a record was merged:
//! only a CRM that does can bring this about.

use crmsync::service::guide;
use crmsync::store::{Answer, Point, PointQuery};
use crmsync_core::decide::reason;
use crmsync_core::{DeletePolicy, RemovalReason, Side};

use crate::scenarios::{kind, unless, world};
use crate::world::{FLOWS, World};

/// Records are merged away on the right; of the others one is kept, one is created there again, one is merged away as well, and one is
/// deleted because a person says so.
pub(crate) fn merged() -> Vec<String> {
    world(kind(DeletePolicy::Report), async |world| {
        world.settle().await;
        let pairs = world.linked_pairs().await;
        let [kept, restored, merged, deleted, ..] = &pairs[..] else {
            return vec!["there are no four linked records".into()];
        };
        for [_, right] in &pairs[..4] {
            world.crms[1].person_ends(right, RemovalReason::Merged);
        }
        world.runs(1).await;
        let points = world.merged_points().await;
        let about = |left: &str| points.iter().find(|point| point.left == left).cloned().expect("it is listed");
        let mut wrong = unless(points.len() == 4, format!("not all are listed: {points:?}"));
        wrong.extend(unless(guide(reason::MERGED).fix.contains("merge the other one"), "nobody is told what to do"));
        wrong.extend(unless(world.deleted_by_host() == 0, "what was merged was deleted"));

        world.answer(about(&kept[0]), Answer::Keep).await;
        world.answer(about(&restored[0]), Answer::Restore).await;
        world.answer(about(&deleted[0]), Answer::Delete).await;
        world.crms[0].person_ends(&merged[0], RemovalReason::Merged);
        world.runs(2).await;
        wrong.extend(unless(world.merged_points().await.is_empty(), "an answer was not carried out"));
        let [left, right] = [world.crms[0].live(), world.crms[1].live()];
        let code = |id: &str| left[id]["Code"].clone();
        let copies = |id: &str| right.values().filter(|fields| fields["Code"] == code(id)).count();
        wrong.extend(unless((copies(&kept[0]), copies(&restored[0])) == (0, 1), "not what people said"));
        wrong.extend(unless(!left.contains_key(&merged[0]), "a merged record is back"));
        wrong.extend(unless(!left.contains_key(&deleted[0]), "what a person deleted is there"));
        wrong.extend(unless(world.deleted_by_host() == 1, "another one was deleted than a person said"));
        let before = world.writes();
        world.runs(1).await;
        wrong.extend(unless(world.writes() == before, "something is left to do"));
        wrong
    })
}

impl World {
    /// Left and right ids of linked records.
    async fn linked_pairs(&self) -> Vec<[String; 2]> {
        let mut pairs = Vec::new();
        for left in self.crms[0].live().into_keys() {
            let link =
                self.hosts[0].link_of(self.tenant, self.pairs[0], Side::Left, &left).await.expect("a link can be read");
            pairs.extend(link.filter(|link| link.removed.is_none()).map(|link| [link.left_id, link.right_id]));
        }
        pairs
    }

    async fn runs(&mut self, count: usize) {
        for _ in 0..count {
            self.tick(5_000);
            self.calm_run(0).await;
        }
    }

    async fn merged_points(&self) -> Vec<Point> {
        let query = PointQuery { reason: reason::MERGED.to_owned(), most: 1_000, ..PointQuery::default() };
        self.hosts[0].points(self.tenant, FLOWS[0], query).await.expect("points can be read")
    }

    async fn answer(&self, point: Point, answer: Answer) {
        let (now_ms, store) = (self.now_ms(), &self.hosts[0]);
        let lease = store
            .take_lease(self.tenant, FLOWS[0], "a person", None, now_ms, 60_000)
            .await
            .expect("it can be asked for");
        let lease = lease.expect("nobody holds it");
        let run = store.begin_run(&lease, "decided", now_ms).await.expect("a run can begin");
        let outcomes = store.decide_points(&lease, run, vec![point], answer, now_ms).await.expect("people can answer");
        assert_eq!(outcomes, [Ok(())]);
        store.end_run(&lease, run, true, String::new(), now_ms).await.expect("a run can end");
        store.release_lease(&lease).await.expect("a lease can be given back");
    }
}
