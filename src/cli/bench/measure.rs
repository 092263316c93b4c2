//! One measurement: many connections do one kind of operation until a time or a number is reached. What comes of it is a
//! [`Sample`]; the samples of several rounds make a [`Figure`]. An operation that was answered wrongly counts as wrong,
//! never as done.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt};

/// Most wrong answers that one measurement goes on after: a server that is broken is not worth the time.
const ENOUGH: u64 = 20;

/// When a measurement ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Until {
    /// After that time.
    Time(Duration),
    /// After so many calls.
    Calls(u64),
}

/// What is measured for a time runs for this part of it before. Whoever takes turns with others finds threads asleep and
/// caches full of theirs, and would be the slower the more the one before has done.
pub(super) const WARM_UP: u32 = 10;

/// What one round measured.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample {
    /// Operations done and answered right.
    pub(super) done: u64,
    /// How long they took together, in seconds.
    pub(super) seconds: f64,
    /// How long calls took, in µs: half of them at most, 95 and 99 in a hundred, and the longest.
    pub(super) p50: f64,
    pub(super) p95: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
    /// Processor time that whoever does the work used for one operation, in µs; 0 when unknown.
    pub(super) cpu: f64,
    /// Operations that were answered wrongly.
    pub(super) wrong: u64,
    /// What was wrong first.
    pub(super) fault: Option<String>,
    /// The last calls against the first, by the median of a tenth each; for walks.
    pub(super) drift: Option<f64>,
}

impl Sample {
    /// From the calls' times, in µs and in order.
    pub(super) fn of(mut times: Vec<f64>, done: u64, seconds: f64, cpu: f64) -> Self {
        times.sort_by(f64::total_cmp);
        Sample {
            done,
            seconds,
            p50: quantile(&times, 0.50),
            p95: quantile(&times, 0.95),
            p99: quantile(&times, 0.99),
            max: times.last().copied().unwrap_or_default(),
            cpu: if done == 0 { 0.0 } else { cpu / done as f64 },
            ..Sample::default()
        }
    }

    /// Notes a fault.
    pub(super) fn blame(&mut self, fault: String) {
        self.wrong += 1;
        self.fault.get_or_insert(fault);
    }
}

/// What several rounds measured: the median of each figure, and the longest call of all.
#[derive(Clone, Debug, Default)]
pub(super) struct Figure {
    pub(super) rounds: usize,
    pub(super) done: u64,
    /// Operations a second.
    pub(super) rate: f64,
    pub(super) p50: f64,
    pub(super) p95: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
    pub(super) cpu: f64,
    pub(super) wrong: u64,
    pub(super) fault: Option<String>,
    pub(super) drift: Option<f64>,
    /// Seconds of a round.
    pub(super) seconds: f64,
}

impl Figure {
    /// The figure of samples.
    pub(super) fn of(samples: &[Sample]) -> Self {
        let middle = |pick: fn(&Sample) -> f64| median(&mut samples.iter().map(pick).collect::<Vec<_>>());
        let mut drifts: Vec<f64> = samples.iter().filter_map(|sample| sample.drift).collect();
        Figure {
            rounds: samples.len(),
            done: samples.iter().map(|sample| sample.done).sum(),
            rate: middle(|sample| if sample.seconds > 0.0 { sample.done as f64 / sample.seconds } else { 0.0 }),
            p50: middle(|sample| sample.p50),
            p95: middle(|sample| sample.p95),
            p99: middle(|sample| sample.p99),
            max: samples.iter().map(|sample| sample.max).fold(0.0, f64::max),
            cpu: middle(|sample| sample.cpu),
            wrong: samples.iter().map(|sample| sample.wrong).sum(),
            fault: samples.iter().find_map(|sample| sample.fault.clone()),
            drift: (!drifts.is_empty()).then(|| median(&mut drifts)),
            seconds: middle(|sample| sample.seconds),
        }
    }
}

/// The middle one; 0 of none.
pub(super) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    quantile(values, 0.5)
}

/// The value that a share of the sorted values does not exceed; 0 of none.
pub(super) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(place.saturating_sub(1)).copied().unwrap_or_default()
}

/// Something to ask over that is opened anew when an answer broke.
pub(super) trait Link: Sized {
    /// Connects.
    async fn open(address: SocketAddr) -> anyhow::Result<Self>;
}

/// Lets `connections` connections do `call` until the end; what is to last for a time [warms up](WARM_UP) first. Each call
/// gets its number and says how many operations it was; `used` tells the processor time of whoever does the work, in µs.
pub(super) async fn drive<L: Link>(
    address: SocketAddr,
    connections: usize,
    until: Until,
    used: impl Fn() -> f64,
    call: impl AsyncFn(&mut L, u64) -> anyhow::Result<u64>,
) -> anyhow::Result<Sample> {
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(L::open(address).await?);
    }
    let next = Cell::new(0);
    let warm = match until {
        Until::Time(time) => round(address, &mut open, &next, Until::Time(time / WARM_UP), &used, &call).await,
        Until::Calls(_) => Sample::default(),
    };
    let sample = round(address, &mut open, &next, until, &used, &call).await;
    Ok(Sample { wrong: warm.wrong + sample.wrong, fault: warm.fault.or(sample.fault.clone()), ..sample })
}

/// Drives open connections; `next` is the number of the next call.
async fn round<L: Link>(
    address: SocketAddr,
    open: &mut [L],
    next: &Cell<u64>,
    until: Until,
    used: impl Fn() -> f64,
    call: impl AsyncFn(&mut L, u64) -> anyhow::Result<u64>,
) -> Sample {
    let done = Cell::new(0);
    let times = RefCell::new(Vec::with_capacity(1 << 16));
    let faults = RefCell::new(Sample::default());
    let before = used();
    let begun = Instant::now();
    let (limit, end) = match until {
        Until::Time(time) => (u64::MAX, Some(begun + time)),
        Until::Calls(calls) => (next.get() + calls, None),
    };
    let workers: FuturesUnordered<_> = open
        .iter_mut()
        .map(|connection| {
            let (done, times, faults, call) = (&done, &times, &faults, &call);
            async move {
                loop {
                    let (number, start) = (next.get(), Instant::now());
                    if number >= limit || end.is_some_and(|end| start >= end) || faults.borrow().wrong >= ENOUGH {
                        return;
                    }
                    next.set(number + 1);
                    match call(connection, number).await {
                        Ok(operations) => done.set(done.get() + operations),
                        Err(fault) => {
                            faults.borrow_mut().blame(format!("{fault:#}"));
                            // What is left of a broken answer must not be taken for the next one.
                            let Ok(another) = L::open(address).await else { return };
                            *connection = another;
                        }
                    }
                    times.borrow_mut().push(start.elapsed().as_secs_f64() * 1e6);
                }
            }
        })
        .collect();
    workers.for_each(|()| async {}).await;
    let seconds = begun.elapsed().as_secs_f64();
    let cpu = used() - before;
    let faults = faults.into_inner();
    let sample = Sample::of(times.into_inner(), done.get(), seconds, cpu);
    Sample { wrong: faults.wrong, fault: faults.fault, ..sample }
}

/// The last calls against the first: the medians of a tenth of them each.
pub(super) fn drift(times: &[f64]) -> Option<f64> {
    let tenth = (times.len() / 10).max(1);
    let first = median(&mut times.get(..tenth)?.to_vec());
    let last = median(&mut times.get(times.len() - tenth..)?.to_vec());
    (first > 0.0).then(|| last / first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!((quantile(&values, 0.5), quantile(&values, 0.99), quantile(&[], 0.5)), (50.0, 99.0, 0.0));
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
    }

    #[test]
    fn a_walk_that_slows_down_shows() {
        let times: Vec<f64> = (0..100).map(|n| if n < 90 { 1.0 } else { 5.0 }).collect();
        assert_eq!(drift(&times), Some(5.0));
        assert_eq!(drift(&[2.0]), Some(1.0));
        assert_eq!(drift(&[]), None);
    }

    #[test]
    fn a_figure_is_the_median_of_its_rounds_and_counts_every_fault() {
        let sample = |done, wrong| Sample { done, seconds: 1.0, wrong, ..Sample::default() };
        let figure = Figure::of(&[sample(10, 0), sample(30, 1), sample(20, 2)]);
        assert_eq!((figure.rate, figure.wrong, figure.done), (20.0, 3, 60));
    }
}
