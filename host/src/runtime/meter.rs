//! Two clocks for one call of a guest: the processor time that it uses, and the time on the wall without its waiting at the gate.
//!
//! Processor time is the time inside `poll`: a guest that waits for an answer is not polled and pays nothing. It is looked at
//! after every poll, and on each epoch tick while Wasm code runs, so an endless loop ends within a tick of its budget.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use super::limits::{Breach, CallLimits};

/// The clocks of one instance; started anew for each call.
#[derive(Debug)]
pub(super) struct Meter {
    reading: Mutex<Reading>,
}

#[derive(Debug)]
struct Reading {
    limits: CallLimits,
    began: Instant,
    cpu: Duration,
    polled_since: Option<Instant>,
    at_gate: Duration,
    at_gate_since: Option<Instant>,
}

impl Meter {
    pub(super) fn new(limits: CallLimits) -> Meter {
        let reading = Reading {
            limits,
            began: Instant::now(),
            cpu: Duration::ZERO,
            polled_since: None,
            at_gate: Duration::ZERO,
            at_gate_since: None,
        };
        Meter { reading: Mutex::new(reading) }
    }

    /// Sets both clocks to zero.
    pub(super) fn restart(&self) {
        let mut reading = self.read();
        *reading = Reading {
            began: Instant::now(),
            cpu: Duration::ZERO,
            polled_since: None,
            at_gate: Duration::ZERO,
            at_gate_since: None,
            ..*reading
        };
    }

    /// Runs a call on both clocks. Dropping the future stops the call.
    pub(super) async fn run<F: Future>(&self, call: F) -> Result<F::Output, Breach> {
        let mut call = pin!(call);
        let mut wall = pin!(self.wall_clock());
        poll_fn(|context| {
            self.read().polled_since = Some(Instant::now());
            let polled = call.as_mut().poll(context);
            self.read().end_poll();
            match polled {
                Poll::Ready(output) => Poll::Ready(Ok(output)),
                Poll::Pending => match self.check_cpu() {
                    Ok(()) => wall.as_mut().poll(context).map(Err),
                    Err(breach) => Poll::Ready(Err(breach)),
                },
            }
        })
        .await
    }

    /// Whether the processor time is within its budget. Called on epoch ticks too, in the middle of a poll.
    pub(super) fn check_cpu(&self) -> Result<(), Breach> {
        let reading = self.read();
        let cpu_ms = reading.limits.cpu_ms;
        let running = reading.polled_since.map_or(Duration::ZERO, |since| since.elapsed());
        if reading.cpu + running > Duration::from_millis(cpu_ms) { Err(Breach::Cpu { cpu_ms }) } else { Ok(()) }
    }

    /// Marks the time until the answer is dropped as waiting at the gate.
    pub(super) fn wait_at_gate(&self) -> Waiting<'_> {
        self.read().at_gate_since = Some(Instant::now());
        Waiting { meter: self }
    }

    /// Processor time that the running or last call has used.
    pub(super) fn cpu(&self) -> Duration {
        self.read().cpu
    }

    async fn wall_clock(&self) -> Breach {
        loop {
            let (left, wall_ms) = {
                let reading = self.read();
                (reading.wall_left(), reading.limits.wall_ms)
            };
            match left {
                // While the guest waits at the gate nothing is used up, and the sleep is only repeated.
                Some(left) => tokio::time::sleep(left).await,
                None => return Breach::Wall { wall_ms },
            }
        }
    }

    fn read(&self) -> MutexGuard<'_, Reading> {
        // Nothing panics while the lock is held; a poisoned reading is still a reading.
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reading {
    fn end_poll(&mut self) {
        if let Some(since) = self.polled_since.take() {
            self.cpu += since.elapsed();
        }
    }

    fn wall_left(&self) -> Option<Duration> {
        let at_gate = self.at_gate + self.at_gate_since.map_or(Duration::ZERO, |since| since.elapsed());
        let used = self.began.elapsed().saturating_sub(at_gate);
        Duration::from_millis(self.limits.wall_ms).checked_sub(used).filter(|left| !left.is_zero())
    }
}

/// A guest is waiting at the gate for as long as this lives.
#[derive(Debug)]
pub(super) struct Waiting<'a> {
    meter: &'a Meter,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut reading = self.meter.read();
        if let Some(since) = reading.at_gate_since.take() {
            reading.at_gate += since.elapsed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: CallLimits = CallLimits { cpu_ms: 20, wall_ms: 40, deadline_ms: 1_000 };

    #[tokio::test]
    async fn waiting_at_the_gate_costs_nothing() {
        let meter = Meter::new(LIMITS);
        let outcome = meter
            .run(async {
                let _waiting = meter.wait_at_gate();
                tokio::time::sleep(Duration::from_millis(120)).await;
                7
            })
            .await;
        assert_eq!(outcome, Ok(7));
        assert!(meter.cpu() < Duration::from_millis(20), "{:?}", meter.cpu());
    }

    #[tokio::test]
    async fn waiting_elsewhere_is_ended_by_the_wall_clock() {
        let outcome = Meter::new(LIMITS).run(std::future::pending::<()>()).await;
        assert_eq!(outcome, Err(Breach::Wall { wall_ms: 40 }));
    }

    #[tokio::test]
    async fn work_between_two_waits_adds_up() {
        let meter = Meter::new(CallLimits { wall_ms: 10_000, ..LIMITS });
        let outcome = meter
            .run(async {
                for _ in 0..100 {
                    let began = Instant::now();
                    while began.elapsed() < Duration::from_millis(1) {}
                    tokio::task::yield_now().await;
                }
            })
            .await;
        assert_eq!(outcome, Err(Breach::Cpu { cpu_ms: 20 }));
    }
}
