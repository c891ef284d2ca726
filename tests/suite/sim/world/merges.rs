//! Records that were merged into others on one side, and what people answer. Neither sandbox CRM tells a program that a record was merged:
//! only a CRM that does can bring this about.

use std::sync::atomic::Ordering;

use crmsync::service::guide;
use crmsync::store::{Answer, Point, PointQuery};
use crmsync_core::decide::reason;
use crmsync_core::{RemovalReason, Side};

use super::{FLOW, TENANT, World};

impl World {
    /// Three records are merged away on the right; one of the others is kept, one is created there again, and one is merged away as well.
    pub(crate) async fn through_merges(&mut self) {
        let pairs = self.linked_pairs().await;
        let [kept, restored, merged] = &pairs[..3] else { panic!("three linked records: {pairs:?}") };
        for [_, right] in &pairs[..3] {
            self.crms[1].person_loses(right, RemovalReason::Merged);
        }
        self.runs(1).await;
        let points = self.merged_points().await;
        let about = |left: &str| points.iter().find(|point| point.left == left).cloned().expect("it is listed");
        assert_eq!(points.len(), 3, "{points:?}");
        assert!(guide(reason::MERGED).fix.contains("merge the other one"));
        assert!(self.crms.iter().all(|crm| crm.deleted_by_host().is_empty()), "what was merged was not deleted");

        self.answer(about(&kept[0]), Answer::Keep).await;
        self.answer(about(&restored[0]), Answer::Restore).await;
        self.crms[0].person_loses(&merged[0], RemovalReason::Merged);
        self.runs(2).await;
        assert_eq!(self.merged_points().await, []);
        let [left, right] = [self.crms[0].live(), self.crms[1].live()];
        let code = |id: &str| left[id]["Code"].clone();
        let copies = |id: &str| right.values().filter(|fields| fields["Code"] == code(id)).count();
        assert_eq!((copies(&kept[0]), copies(&restored[0])), (0, 1));
        assert!(!left.contains_key(&merged[0]));
        let before = self.writes();
        self.runs(1).await;
        assert_eq!(self.writes(), before, "nothing is left to do");
    }

    /// Left and right ids of linked records.
    async fn linked_pairs(&self) -> Vec<[String; 2]> {
        let mut pairs = Vec::new();
        let pair = self.store.pair(TENANT, FLOW, "People", "People").await.unwrap();
        for left in self.crms[0].live().into_keys() {
            let link = self.store.link_of(TENANT, pair, Side::Left, &left).await.unwrap();
            pairs.extend(link.filter(|link| link.removed.is_none()).map(|link| [link.left_id, link.right_id]));
        }
        pairs
    }

    async fn runs(&mut self, count: usize) {
        for _ in 0..count {
            self.tick(5_000);
            self.attempt(None).await.unwrap().expect("it is not killed");
        }
    }

    async fn merged_points(&self) -> Vec<Point> {
        let query = PointQuery { reason: reason::MERGED.to_owned(), most: 1_000, ..PointQuery::default() };
        self.store.points(TENANT, FLOW, query).await.unwrap()
    }

    async fn answer(&self, point: Point, answer: Answer) {
        let now_ms = self.clock.load(Ordering::SeqCst);
        let lease = self.store.take_lease(TENANT, FLOW, "a person", None, now_ms, 60_000).await.unwrap().unwrap();
        let run = self.store.begin_run(&lease, "decided", now_ms).await.unwrap();
        let outcomes = self.store.decide_points(&lease, run, vec![point], answer, now_ms).await.unwrap();
        assert_eq!(outcomes, [Ok(())]);
        self.store.end_run(&lease, run, true, String::new(), now_ms).await.unwrap();
        self.store.release_lease(&lease).await.unwrap();
    }
}
