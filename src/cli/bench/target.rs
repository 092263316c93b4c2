//! What the figures are to reach: ratios taken in one run, and processor time for each operation, which holds on a loaded
//! machine. "must" is asked for, "stretch" is hoped for.
//!
//! Ratios hold on any machine. Processor time is that of the machine that the targets were made on, where a search for a uid
//! took slapd [`SEARCH_THERE`]. A run that has measured slapd is judged by what it would be there; any other by what it is.

use super::book::Book;
use super::measure::Figure;

const RAW: &str = "raw handler";
const GET: &str = "own get";
const ONE: &str = "raw SQLite, 1 a commit";
const HUNDRED: &str = "raw SQLite, 100 a commit";
const THOUSAND: &str = "raw SQLite, 1,000 a commit";
const UPDATE: &str = "raw SQLite update";
const PATCH: &str = "own patch";
const TEN: &str = "group of 10";
const SEARCH: &str = "slapd uid search";
const ADD: &str = "slapd add";
const MIXED: &str = "slapd mixed";
const SELECT: &str = "pgbench SELECT";
const INSERT: &str = "pgbench INSERT";
/// Processor time of slapd for a search for a uid on the machine that the targets were made on, in µs.
const SEARCH_THERE: f64 = 36.0;
/// Size from which on growth is judged, against the smallest.
const MILLION: u64 = 1_000_000;
const MIB: f64 = 1_048_576.0;

/// What is taken of a scenario.
#[derive(Clone, Copy, Debug)]
enum Measure {
    /// Operations a second against those of an arm.
    Rate(&'static str),
    /// Half of the calls take at most, against an arm.
    P50(&'static str),
    /// Processor time against an arm.
    CpuAgainst(&'static str),
    /// Processor time for an operation, in µs.
    Cpu,
    /// Operations a second.
    PerSecond,
    /// Seconds of a round.
    Seconds,
    /// The last pages against the first.
    Drift,
    /// Against the smallest register of the run.
    P50Growth,
    P99Growth,
    RateGrowth,
    CpuGrowth,
    /// Of the register as a whole.
    MemoryMib,
    FileBytesEach,
}

/// Which way is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    AtLeast,
    AtMost,
}

/// One target.
#[derive(Clone, Copy)]
struct Target {
    row: &'static str,
    scenario: &'static str,
    connections: usize,
    /// The register's size that it is asked of; at any when `None`.
    size: Option<u64>,
    measure: Measure,
    bound: Bound,
    must: Option<f64>,
    stretch: Option<f64>,
}

const fn target(
    row: &'static str,
    scenario: &'static str,
    connections: usize,
    measure: Measure,
    bound: Bound,
    must: f64,
    stretch: f64,
) -> Target {
    Target { row, scenario, connections, size: None, measure, bound, must: Some(must), stretch: Some(stretch) }
}

const fn at(size: u64, target: Target) -> Target {
    Target { size: Some(size), ..target }
}

/// A target that is hoped for alone, or asked for alone.
const fn only(must: Option<f64>, stretch: Option<f64>, target: Target) -> Target {
    Target { must, stretch, ..target }
}

use Bound::{AtLeast, AtMost};
use Measure::{Cpu, CpuAgainst, CpuGrowth, Drift, FileBytesEach, MemoryMib, P50, P50Growth, P99Growth, PerSecond};
use Measure::{Rate, RateGrowth, Seconds};

#[rustfmt::skip]
const TARGETS: &[Target] = &[
    target("1", "get", 16, Rate(RAW), AtLeast, 0.35, 0.55),
    target("1", "get", 16, Cpu, AtMost, 25.0, 15.0),
    target("2", "get-conditional", 16, Rate(GET), AtLeast, 1.0, 1.3),
    target("2", "get-signed", 16, Rate(GET), AtLeast, 0.91, 0.97),
    target("2", "get-signed", 16, CpuAgainst(GET), AtMost, 1.1, 1.03),
    target("2", "get-view", 16, CpuAgainst("view of everything"), AtMost, 1.5, 1.2),
    only(None, Some(0.83), target("2", "get-view", 16, Rate("view of everything"), AtLeast, 0.0, 0.0)),
    target("2", "get-views", 16, CpuAgainst("one client"), AtMost, 1.5, 1.2),
    target("2", "get-masks", 16, CpuAgainst("view of everything"), AtMost, 1.5, 1.2),
    target("2", "page-masks", 16, CpuAgainst("view of everything"), AtMost, 1.5, 1.2),
    target("3", "by-username", 16, Rate(GET), AtLeast, 0.75, 0.9),
    target("3", "by-username", 16, Rate(SEARCH), AtLeast, 1.0, 1.3),
    target("3", "by-email", 16, Rate(GET), AtLeast, 0.75, 0.9),
    target("3", "by-external-id", 16, Rate(GET), AtLeast, 0.75, 0.9),
    at(MILLION, target("4", "get", 16, P50Growth, AtMost, 1.3, 1.15)),
    at(MILLION, target("4", "get", 16, P99Growth, AtMost, 1.5, 1.25)),
    at(MILLION, target("4", "by-username", 16, P50Growth, AtMost, 1.3, 1.15)),
    at(MILLION, target("4", "by-username", 16, P99Growth, AtMost, 1.5, 1.25)),
    at(MILLION, target("4", "by-email", 16, P50Growth, AtMost, 1.3, 1.15)),
    at(MILLION, target("4", "by-email", 16, P99Growth, AtMost, 1.5, 1.25)),
    at(MILLION, target("4", "by-external-id", 16, P50Growth, AtMost, 1.3, 1.15)),
    at(MILLION, target("4", "by-external-id", 16, P99Growth, AtMost, 1.5, 1.25)),
    target("5", "prefix-page", 16, Cpu, AtMost, 1_000.0, 500.0),
    target("6", "contains", 16, CpuAgainst("slapd contains"), AtMost, 1.0, 0.1),
    at(100_000, target("6", "contains", 16, Cpu, AtMost, 49_000.0, 300.0)),
    at(100_000, only(None, Some(2.0), target("6", "contains", 16, CpuGrowth, AtMost, 0.0, 0.0))),
    at(MILLION, target("7", "walk-cursor", 1, PerSecond, AtLeast, 40_000.0, 100_000.0)),
    only(Some(1.2), None, target("7", "walk-cursor", 1, Drift, AtMost, 0.0, 0.0)),
    target("8", "walk-index", 1, Drift, AtMost, 5.0, 1.5),
    target("9", "create", 1, Rate(ONE), AtLeast, 0.5, 0.75),
    only(Some(1.5), None, target("10", "create", 16, Rate(ONE), AtLeast, 0.0, 0.0)),
    only(Some(2.0), None, target("10", "create", 64, Rate(ONE), AtLeast, 0.0, 0.0)),
    only(None, Some(0.3), target("10", "create", 16, Rate(HUNDRED), AtLeast, 0.0, 0.0)),
    only(None, Some(0.3), target("10", "create", 64, Rate(HUNDRED), AtLeast, 0.0, 0.0)),
    target("10", "create", 16, Cpu, AtMost, 150.0, 100.0),
    target("10", "create", 64, Cpu, AtMost, 150.0, 100.0),
    only(Some(2.0), None, target("10", "create", 16, Rate(ADD), AtLeast, 0.0, 0.0)),
    at(MILLION, target("11", "create", 16, RateGrowth, AtLeast, 0.7, 0.85)),
    target("12", "create-bulk", 1, Rate(THOUSAND), AtLeast, 0.3, 0.5),
    target("13", "patch", 1, Rate(UPDATE), AtLeast, 0.5, 0.75),
    target("13", "patch", 16, Rate(UPDATE), AtLeast, 1.0, 1.5),
    target("13", "patch", 64, Rate(UPDATE), AtLeast, 1.5, 2.5),
    target("13", "patch", 16, Cpu, AtMost, 130.0, 90.0),
    target("14", "patch-nothing", 1, Rate(PATCH), AtLeast, 3.0, 10.0),
    target("15", "group-add", 1, P50(TEN), AtMost, 1.2, 1.05),
    target("15", "group-add", 1, CpuAgainst(TEN), AtMost, 1.2, 1.05),
    target("15", "group-add", 1, Cpu, AtMost, 250.0, 150.0),
    target("15", "group-remove", 1, P50(TEN), AtMost, 1.2, 1.05),
    target("15", "group-remove", 1, CpuAgainst(TEN), AtMost, 1.2, 1.05),
    target("15", "group-remove", 1, Cpu, AtMost, 250.0, 150.0),
    target("16", "group-head", 16, CpuAgainst(TEN), AtMost, 1.1, 1.0),
    target("16", "group-head", 16, Rate(GET), AtLeast, 0.5, 0.75),
    target("16", "member-of", 16, Rate(GET), AtLeast, 0.5, 0.75),
    target("17", "group-post", 1, Seconds, AtMost, 3.0, 1.0),
    target("18", "mixed", 16, Rate(MIXED), AtLeast, 1.0, 1.5),
    at(100_000, target("19", "reconcile", 16, Seconds, AtMost, 12.0, 7.0)),
    at(MILLION, target("19", "reconcile", 16, Seconds, AtMost, 12.0, 7.0)),
    at(10_000, target("20", "", 0, MemoryMib, AtMost, 64.0, 40.0)),
    at(MILLION, target("20", "", 0, MemoryMib, AtMost, 256.0, 128.0)),
    at(MILLION, target("21", "", 0, FileBytesEach, AtMost, 4_500.0, 3_500.0)),
    target("23", "get", 16, Rate(SELECT), AtLeast, 0.35, 0.5),
    target("23", "create", 16, Rate(INSERT), AtLeast, 0.4, 0.6),
];

/// How a target was met.
#[derive(Clone, Debug)]
pub(super) struct Verdict {
    /// Row of the table of targets.
    pub(super) row: &'static str,
    /// People in the register.
    pub(super) size: u64,
    pub(super) scenario: &'static str,
    pub(super) connections: usize,
    /// What was measured, in words.
    pub(super) what: String,
    pub(super) found: f64,
    pub(super) is_lower_bound: bool,
    pub(super) must: Option<f64>,
    pub(super) stretch: Option<f64>,
}

impl Verdict {
    /// Whether the found is as good as that.
    pub(super) fn meets(&self, wanted: f64) -> bool {
        if self.is_lower_bound { self.found >= wanted } else { self.found <= wanted }
    }

    /// By what factor the found misses that; 1 when it does not.
    pub(super) fn misses_by(&self, wanted: f64) -> f64 {
        let factor = if self.is_lower_bound { wanted / self.found } else { self.found / wanted };
        factor.max(1.0)
    }

    /// Whether what must be met is.
    pub(super) fn is_met(&self) -> bool {
        self.must.is_none_or(|must| self.meets(must))
    }
}

/// Every target that the run has figures for, size by size.
pub(super) fn judge(book: &Book) -> Vec<Verdict> {
    let sizes = book.sizes();
    let mut verdicts = Vec::new();
    for size in &sizes {
        for target in TARGETS.iter().filter(|target| target.size.is_none_or(|wanted| wanted == *size)) {
            if let Some((found, what)) = take(book, target, *size, sizes.first().copied().unwrap_or(*size)) {
                let Target { row, scenario, connections, must, stretch, .. } = *target;
                let (size, is_lower_bound) = (*size, target.bound == AtLeast);
                verdicts.push(Verdict { row, size, scenario, connections, what, found, is_lower_bound, must, stretch });
            }
        }
    }
    verdicts
}

fn take(book: &Book, target: &Target, size: u64, smallest: u64) -> Option<(f64, String)> {
    let register = book.registers.get(&size)?;
    match target.measure {
        MemoryMib => return Some((register.memory_after? as f64 / MIB, "memory (PSS), MiB".to_owned())),
        FileBytesEach => return Some((register.file? as f64 / size as f64, "file, bytes a person".to_owned())),
        _ => {}
    }
    let figure = |size, arm| book.figure(size, target.scenario, target.connections, arm);
    let own = figure(size, "").filter(|figure| figure.done > 0)?;
    let ratio = |pick: fn(&Figure) -> f64, arm: &'static str, what: &str| {
        let base = pick(&figure(size, arm)?);
        (base > 0.0).then(|| (pick(&own) / base, format!("{what} against {arm}")))
    };
    let growth = |pick: fn(&Figure) -> f64, what: &str| {
        let base = pick(&figure(smallest, "").filter(|_| smallest < size)?);
        (base > 0.0).then(|| (pick(&own) / base, format!("{what} against that at {smallest}")))
    };
    match target.measure {
        Rate(arm) => ratio(|figure| figure.rate, arm, "rate"),
        P50(arm) => ratio(|figure| figure.p50, arm, "p50"),
        CpuAgainst(arm) => ratio(|figure| figure.cpu, arm, "CPU"),
        Cpu => (own.cpu > 0.0).then(|| match slapd_search(book) {
            Some(here) => {
                let what = format!(
                    "CPU, µs an operation where slapd takes {SEARCH_THERE} for a search ({:.1} here, {here:.1})",
                    own.cpu
                );
                (own.cpu * SEARCH_THERE / here, what)
            }
            None => (own.cpu, "CPU, µs an operation".to_owned()),
        }),
        PerSecond => Some((own.rate, "a second".to_owned())),
        Seconds => Some((own.seconds, "seconds".to_owned())),
        Drift => Some((own.drift?, "last pages against the first".to_owned())),
        P50Growth => growth(|figure| figure.p50, "p50"),
        P99Growth => growth(|figure| figure.p99, "p99"),
        RateGrowth => growth(|figure| figure.rate, "rate"),
        CpuGrowth => growth(|figure| figure.cpu, "CPU"),
        MemoryMib | FileBytesEach => None,
    }
}

/// What a search for a uid took slapd in this run, in µs of processor time: of the smallest register that says.
fn slapd_search(book: &Book) -> Option<f64> {
    let search = |size| book.figure(size, "by-username", 16, SEARCH).map(|figure| figure.cpu);
    book.sizes().into_iter().filter_map(search).find(|cpu| *cpu > 0.0)
}

#[cfg(test)]
mod tests {
    use super::super::book::Key;
    use super::super::measure::Sample;
    use super::super::scenario::SCENARIOS;
    use super::*;

    fn enter(book: &mut Book, size: u64, arm: &str, rate: u64, p50: f64) {
        let key = Key { size, order: 0, scenario: "get", connections: 16, arm: arm.to_owned() };
        book.enter(key, Sample { done: rate, seconds: 1.0, p50, cpu: 20.0, ..Sample::default() });
        book.registers.entry(size).or_default();
    }

    #[test]
    fn a_ratio_is_taken_of_one_size_and_growth_of_two() {
        let mut book = Book::default();
        enter(&mut book, 10_000, "", 40, 10.0);
        enter(&mut book, 10_000, RAW, 100, 1.0);
        enter(&mut book, MILLION, "", 20, 20.0);
        enter(&mut book, MILLION, RAW, 100, 1.0);
        let verdicts = judge(&book);
        let found = |size, row, what: &str| {
            let fits = |verdict: &&Verdict| verdict.size == size && verdict.row == row && verdict.what.contains(what);
            verdicts.iter().find(fits).map(|verdict| (verdict.found, verdict.is_met()))
        };
        assert_eq!(found(10_000, "1", RAW), Some((0.4, true)));
        assert_eq!(found(MILLION, "1", RAW), Some((0.2, false)));
        assert_eq!(found(MILLION, "1", "CPU"), Some((20.0, true)));
        assert_eq!(found(MILLION, "4", "p50"), Some((2.0, false)));
        assert_eq!(found(10_000, "4", "p50"), None);
        let missed = verdicts.iter().find(|verdict| !verdict.is_met()).expect("one was missed");
        assert!((missed.misses_by(missed.must.expect("a must")) - 1.75).abs() < 1e-9);
    }

    #[test]
    fn processor_time_is_judged_by_what_it_would_be_where_the_targets_were_made() {
        let mut book = Book::default();
        enter(&mut book, 10_000, "", 40, 10.0);
        let cpu = |book: &Book| {
            let verdicts = judge(book);
            let verdict = verdicts.into_iter().find(|verdict| verdict.what.starts_with("CPU, µs")).expect("a target");
            (verdict.found, verdict.what)
        };
        assert_eq!(cpu(&book), (20.0, "CPU, µs an operation".to_owned()));
        let key = Key { size: 10_000, order: 0, scenario: "by-username", connections: 16, arm: SEARCH.to_owned() };
        book.enter(key, Sample { done: 1, cpu: 72.0, ..Sample::default() });
        let said = "CPU, µs an operation where slapd takes 36 for a search (20.0 here, 72.0)";
        assert_eq!(cpu(&book), (10.0, said.to_owned()));
    }

    #[test]
    fn every_target_is_of_a_scenario_that_runs_with_its_connections() {
        for target in TARGETS.iter().filter(|target| !target.scenario.is_empty()) {
            let scenario = SCENARIOS.iter().find(|scenario| scenario.name == target.scenario);
            let connections = scenario.expect(target.scenario).connections;
            assert!(connections.contains(&target.connections), "{} × {}", target.scenario, target.connections);
        }
    }
}
