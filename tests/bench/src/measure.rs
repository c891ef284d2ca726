//! Time of two ways to do one thing, by two clocks: the wall's, and the processor's own account of this thread.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::Failure;

/// What one unit of work costs, in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Cost {
    /// Passed on the wall's clock, servers and waiting included.
    pub(super) wall_us: f64,
    /// Spent by the measuring thread on the processor. The servers run on other threads.
    pub(super) cpu_us: f64,
}

/// The product against native code. All numbers are medians; a ratio is the median of the ratios of neighbours in time, so that
/// a slow minute of the machine hits both.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Comparison {
    pub(super) crmsync: Cost,
    pub(super) native: Cost,
    pub(super) wall_ratio: f64,
    pub(super) cpu_ratio: f64,
}

/// Does both in turns, `repetitions` times each, after one turn that does not count. `units` is what one turn's cost is divided by.
pub(super) async fn compare(
    repetitions: usize,
    units: usize,
    mut crmsync: impl AsyncFnMut() -> Result<(), Failure>,
    mut native: impl AsyncFnMut() -> Result<(), Failure>,
) -> Result<Comparison, Failure> {
    crmsync().await?;
    native().await?;
    let mut turns = Vec::with_capacity(repetitions);
    for _ in 0..repetitions {
        turns.push((time(units, &mut crmsync).await?, time(units, &mut native).await?));
    }
    Ok(Comparison {
        crmsync: median_cost(turns.iter().map(|(crmsync, _)| *crmsync)),
        native: median_cost(turns.iter().map(|(_, native)| *native)),
        wall_ratio: median(turns.iter().map(|(crmsync, native)| crmsync.wall_us / native.wall_us)),
        cpu_ratio: median(turns.iter().map(|(crmsync, native)| crmsync.cpu_us / native.cpu_us)),
    })
}

/// Does one thing `repetitions` times, after one time that does not count.
pub(super) async fn alone(
    repetitions: usize,
    units: usize,
    mut work: impl AsyncFnMut() -> Result<(), Failure>,
) -> Result<Cost, Failure> {
    work().await?;
    let mut turns = Vec::with_capacity(repetitions);
    for _ in 0..repetitions {
        turns.push(time(units, &mut work).await?);
    }
    Ok(median_cost(turns.into_iter()))
}

async fn time(units: usize, work: &mut impl AsyncFnMut() -> Result<(), Failure>) -> Result<Cost, Failure> {
    let (wall, cpu) = (Instant::now(), thread_cpu());
    work().await?;
    let (wall, cpu) = (wall.elapsed(), thread_cpu().saturating_sub(cpu));
    let per_unit = |time: Duration| time.as_secs_f64() * 1e6 / units as f64;
    Ok(Cost { wall_us: per_unit(wall), cpu_us: per_unit(cpu) })
}

fn median_cost(costs: impl Iterator<Item = Cost> + Clone) -> Cost {
    Cost { wall_us: median(costs.clone().map(|cost| cost.wall_us)), cpu_us: median(costs.map(|cost| cost.cpu_us)) }
}

fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    if numbers.len() % 2 == 1 { numbers[middle] } else { (numbers[middle - 1] + numbers[middle]) / 2.0 }
}

/// Processor time of the calling thread since it began. Other programs on the machine hardly move it.
fn thread_cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    #[expect(unsafe_code, reason = "clock_gettime fills the struct that it is given, and nothing else")]
    // It cannot fail: the clock is one that every thread has.
    let _done = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_stand_in_the_middle() {
        let check = |numbers: &[f64], expected: f64| assert!((median(numbers.iter().copied()) - expected).abs() < 1e-9);
        check(&[3.0, 1.0, 2.0], 2.0);
        check(&[4.0, 1.0, 2.0, 3.0], 2.5);
        check(&[7.0], 7.0);
    }

    #[test]
    fn work_takes_processor_time() {
        let before = thread_cpu();
        let mut sum = 0_u64;
        while thread_cpu().saturating_sub(before) < Duration::from_millis(1) {
            sum = sum.wrapping_mul(31).wrapping_add(1);
        }
        assert!(sum > 0);
    }
}
