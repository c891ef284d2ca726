//! One fixed scenario, killed at each of its points, and at each ordered pair of them: the run that recovers is killed, too.

use std::fmt;
use std::time::{Duration, Instant};

use crmsync_core::{DeletePolicy, Side, Value};

use crate::host::{Ended, Order};
use crate::plan::Kind;
use crate::pulse::{Counted, End};
use crate::scenarios::{kind, world};
use crate::world::World;

/// What killing at the points of the scenario came to.
#[derive(Clone, Debug, Default)]
pub struct CrashReport {
    /// The points: commits, remote calls that wrote, in order.
    pub points: Vec<String>,
    /// Times that the scenario was killed once.
    pub singles: usize,
    /// Times that it was killed twice.
    pub pairs: usize,
    /// What was wrong afterwards, with where it was killed.
    pub wrong: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

/// Kills the scenario at each point, and at every pair of points whose numbers `takes` accepts.
pub fn crash_points(takes: impl Fn(usize, usize) -> bool) -> CrashReport {
    let started = Instant::now();
    let mut report = CrashReport::default();
    report.points = attempt(None, None, &mut report.wrong).0;
    for first in 0..report.points.len() {
        report.singles += 1;
        attempt(Some(first), None, &mut report.wrong);
        for second in 0.. {
            if !takes(first, second) {
                // The run that recovers has about as many points as the first one.
                if second > 2 * report.points.len() {
                    break;
                }
                continue;
            }
            if !attempt(Some(first), Some(second), &mut report.wrong).1 {
                break;
            }
            report.pairs += 1;
        }
    }
    report.took = started.elapsed();
    report
}

/// One life of the scenario. Gives the points of its first run, and whether the second one was killed.
fn attempt(first: Option<usize>, second: Option<usize>, wrong: &mut Vec<String>) -> (Vec<String>, bool) {
    let (mut points, mut killed) = (Vec::new(), false);
    let kind = Kind { records: 10, ..kind(DeletePolicy::Recycle) };
    let found = world(kind, async |world| {
        for _ in 0..2 {
            world.tick(5_000);
            world.calm_run(0).await;
        }
        people_work(world);
        world.tick(2_000);
        points = killed_at(world, first).await.1;
        if first.is_some() {
            killed = killed_at(world, second).await.0;
        }
        for _ in 0..3 {
            world.tick(45_000);
            world.calm_run(0).await;
        }
        world.check_at_rest().await;
        vec![]
    });
    let place = |point: Option<usize>| point.map_or("nowhere".to_owned(), |point| point.to_string());
    wrong.extend(found.into_iter().map(|what| format!("killed at {} and {}: {what}", place(first), place(second))));
    (points, killed)
}

/// Creates, edits and a conflict on both sides, and a delete.
fn people_work(world: &mut World) {
    let both: Vec<String> = {
        let others = world.crms[1].live();
        let is_there = |code: &Value| others.values().any(|fields| fields["Code"] == *code);
        let lefts = world.crms[0].live().into_values().filter(|fields| is_there(&fields["Code"]));
        lefts.map(|fields| fields["Code"].display()).collect()
    };
    world.add(Side::Left, &[("Code", "n1"), ("Name", "new on the left")]);
    world.add(Side::Right, &[("Code", "n2"), ("Name", "new on the right")]);
    for code in ["n3", "n4", "n5"] {
        world.add(Side::Left, &[("Code", code), ("Name", "another on the left")]);
    }
    world.type_in(Side::Left, &both[0], "Name", "from the left");
    world.type_in(Side::Left, &both[4], "Phone", "from the left, and much too long");
    world.type_in(Side::Left, &both[5], "Note", "");
    world.type_in(Side::Right, &both[1], "Phone", "from the right");
    world.type_in(Side::Left, &both[2], "Note", "one");
    world.type_in(Side::Right, &both[2], "Note", "other");
    world.delete(Side::Left, &both[3]);
}

/// A run that is killed at this point; whether it was, and the points that it had.
async fn killed_at(world: &mut World, point: Option<usize>) -> (bool, Vec<String>) {
    world.tick(1_100);
    let end = point.map_or(End::Whole, End::Killed);
    let order = Order { end, counted: Counted::Changes, ..world.calm(0) };
    let (ended, points) = world.run(order).await;
    (matches!(ended, Ended::Killed), points)
}

impl fmt::Display for CrashReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, name) in self.points.iter().enumerate() {
            writeln!(f, "{number:>4} after {name}")?;
        }
        let took = self.took.as_secs_f64();
        writeln!(f, "{} points, {} kills, {} ordered pairs, {took:.1} s", self.points.len(), self.singles, self.pairs)?;
        for wrong in &self.wrong {
            writeln!(f, "  {wrong}")?;
        }
        write!(f, "violations: {}", self.wrong.len())
    }
}
