//! The loop: look, start what has its turn, wait for the next moment.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::Notify;
use tokio::task::{Id, JoinSet};

use super::queue::{Running, Turn, next_turns};
use super::timetable::{Flow, next_look_ms};

/// Other processes change flows, too (a pause, an approval, a login): so often the loop looks by itself.
const LOOK_MS_MAX: i64 = 1_000;

/// What the scheduler asks of the room that runs flows.
pub trait Office: Send + Sync + 'static {
    /// Now, in milliseconds since 1970.
    fn now_ms(&self) -> i64;

    /// All flows as they are now.
    ///
    /// # Errors
    /// In words; the scheduler looks again later.
    fn look(&self) -> BoxFuture<'_, Result<Vec<Flow>, String>>;

    /// Runs a flow to its end, whatever that is: the next look tells.
    fn run(&self, turn: Turn) -> BoxFuture<'_, ()>;
}

/// What others may see of the loop.
#[derive(Default)]
pub struct Board {
    seen: Mutex<Seen>,
    bell: Notify,
}

#[derive(Default)]
struct Seen {
    running: Vec<Running>,
    looked_at_ms: i64,
}

impl Board {
    /// Asks the loop to look now.
    pub fn ring(&self) {
        self.bell.notify_one();
    }

    /// The runs of this process.
    pub fn running(&self) -> Vec<Running> {
        self.seen().running.clone()
    }

    /// When the loop last had a whole look, 0 before the first.
    pub fn looked_at_ms(&self) -> i64 {
        self.seen().looked_at_ms
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs flows when they are due, until `stop` comes: then no run begins any more, and those that are going on have `grace` to end.
/// A run that takes longer is dropped where it is, as if the process had been killed; the next one goes on from there. Gives how many.
pub async fn serve(
    office: Arc<dyn Office>,
    board: Arc<Board>,
    stop: impl Future<Output = ()>,
    grace: Duration,
) -> usize {
    let mut runs: JoinSet<()> = JoinSet::new();
    let mut names: HashMap<Id, String> = HashMap::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let wait_ms = look_and_start(&office, &board, &mut runs, &mut names).await;
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(ended) = runs.join_next_with_id() => {
                let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
                end(&board, &mut names, id);
            }
            () = board.bell.notified() => {}
            () = tokio::time::sleep(Duration::from_millis(wait_ms.unsigned_abs())) => {}
        }
    }
    let ending = async {
        while let Some(ended) = runs.join_next_with_id().await {
            let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
            end(&board, &mut names, id);
        }
    };
    if tokio::time::timeout(grace, ending).await.is_ok() {
        return 0;
    }
    let left = runs.len();
    runs.shutdown().await;
    left
}

/// One look. Gives how long the next one can wait.
async fn look_and_start(
    office: &Arc<dyn Office>,
    board: &Board,
    runs: &mut JoinSet<()>,
    names: &mut HashMap<Id, String>,
) -> i64 {
    let flows = match office.look().await {
        Ok(flows) => flows,
        Err(why) => {
            tracing::warn!(%why, "the flows cannot be looked at");
            return LOOK_MS_MAX;
        }
    };
    let now_ms = office.now_ms();
    let turns = next_turns(&flows, &board.running(), now_ms);
    {
        let mut seen = board.seen();
        seen.looked_at_ms = now_ms;
        seen.running.extend(turns.iter().map(|turn| Running {
            flow: turn.flow.clone(),
            between: turn.between.clone(),
            cause: turn.cause,
            since_ms: now_ms,
        }));
    }
    for turn in turns {
        let (office, name) = (Arc::clone(office), turn.flow.clone());
        let task = runs.spawn(async move { office.run(turn).await });
        names.insert(task.id(), name);
    }
    next_look_ms(&flows, now_ms).unwrap_or(LOOK_MS_MAX).min(LOOK_MS_MAX)
}

fn end(board: &Board, names: &mut HashMap<Id, String>, id: Id) {
    if let Some(name) = names.remove(&id) {
        board.seen().running.retain(|run| run.flow != name);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

    use super::super::timetable::tests::flow;
    use super::super::timetable::{End, LastRun};
    use super::*;

    /// Flows that take a while to run; one of them never ends, one of them breaks.
    struct Desk {
        flows: Mutex<Vec<Flow>>,
        clock: AtomicI64,
        done: AtomicUsize,
    }

    impl Office for Desk {
        fn now_ms(&self) -> i64 {
            self.clock.fetch_add(1, Ordering::Relaxed)
        }

        fn look(&self) -> BoxFuture<'_, Result<Vec<Flow>, String>> {
            Box::pin(async { Ok(self.flows.lock().unwrap().clone()) })
        }

        fn run(&self, turn: Turn) -> BoxFuture<'_, ()> {
            Box::pin(async move {
                match turn.flow.as_str() {
                    "hangs" => std::future::pending().await,
                    "breaks" => panic!("a run that breaks"),
                    _ => tokio::time::sleep(Duration::from_millis(5)).await,
                }
                let now_ms = self.now_ms();
                let mut flows = self.flows.lock().unwrap();
                let flow = flows.iter_mut().find(|flow| flow.name == turn.flow).unwrap();
                flow.last = Some(LastRun { started_at_ms: now_ms, ended_at_ms: now_ms, end: End::Done });
                self.done.fetch_add(1, Ordering::Relaxed);
            })
        }
    }

    fn on(name: &str, left: &str, right: &str) -> Flow {
        Flow { between: [left.to_owned(), right.to_owned()], ..flow(name) }
    }

    #[tokio::test]
    async fn one_that_hangs_and_one_that_breaks_delay_nobody_else() {
        let flows = vec![on("hangs", "a", "b"), on("breaks", "c", "d"), on("good", "e", "f"), on("other", "g", "h")];
        let desk = Arc::new(Desk { flows: Mutex::new(flows), clock: AtomicI64::new(1), done: AtomicUsize::new(0) });
        let (board, office) = (Arc::new(Board::default()), Arc::clone(&desk));
        let seen = Arc::clone(&board);
        let stop = async {
            while desk.done.load(Ordering::Relaxed) < 2 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert!(seen.running().iter().any(|run| run.flow == "hangs"));
        };
        let left = serve(office, board, stop, Duration::from_millis(30)).await;
        assert_eq!(left, 1, "only the one that hangs is dropped");
        assert_eq!(desk.done.load(Ordering::Relaxed), 2);
    }
}
