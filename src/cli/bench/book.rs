//! What was measured, by register size, scenario, number of connections and arm. The arm without a name is the server's own
//! work; the others are what it is compared with, measured in turn with it in every round.

use std::collections::BTreeMap;

use super::measure::{Figure, Sample};

/// What a figure is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// People in the register.
    pub(super) size: u64,
    /// Place of the scenario in the order they ran, so that tables keep it.
    pub(super) order: usize,
    /// Name of the scenario.
    pub(super) scenario: &'static str,
    /// Connections.
    pub(super) connections: usize,
    /// Whose work; empty for the server's own.
    pub(super) arm: String,
}

/// What was found out about one register as a whole.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Register {
    /// People a second while loading.
    pub(super) load_rate: f64,
    /// Processor time of the server for each person loaded, in µs.
    pub(super) load_cpu: f64,
    /// Bytes of the file after loading, if there is one.
    pub(super) file: Option<u64>,
    /// The server's memory (PSS) in bytes: before the first question, and after the last.
    pub(super) memory_before: Option<u64>,
    pub(super) memory_after: Option<u64>,
    /// Resources read back at the end, and how many of them were not as acknowledged.
    pub(super) read_back: u64,
    pub(super) lost: u64,
}

/// The measurements of a run.
#[derive(Debug, Default)]
pub(super) struct Book {
    samples: BTreeMap<Key, Vec<Sample>>,
    /// By size.
    pub(super) registers: BTreeMap<u64, Register>,
    /// Scenarios that could not be measured at all, and why.
    pub(super) refused: Vec<(u64, &'static str, String)>,
}

impl Book {
    /// Enters a sample.
    pub(super) fn enter(&mut self, key: Key, sample: Sample) {
        self.samples.entry(key).or_default().push(sample);
    }

    /// Every figure, in the order measured; a scenario's own before what it is compared with.
    pub(super) fn figures(&self) -> Vec<(&Key, Figure)> {
        self.samples.iter().map(|(key, samples)| (key, Figure::of(samples))).collect()
    }

    /// The figure of a scenario.
    pub(super) fn figure(&self, size: u64, scenario: &str, connections: usize, arm: &str) -> Option<Figure> {
        let is_it = |key: &Key| {
            key.size == size && key.scenario == scenario && key.connections == connections && key.arm == arm
        };
        self.samples.iter().find(|(key, _)| is_it(key)).map(|(_, samples)| Figure::of(samples))
    }

    /// The sizes measured.
    pub(super) fn sizes(&self) -> Vec<u64> {
        self.registers.keys().copied().collect()
    }

    /// Operations answered wrongly, resources lost, scenarios refused.
    pub(super) fn faults(&self) -> u64 {
        let wrong: u64 = self.samples.values().flatten().map(|sample| sample.wrong).sum();
        let lost: u64 = self.registers.values().map(|register| register.lost).sum();
        wrong + lost + self.refused.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_of_any_kind_counts() {
        let mut book = Book::default();
        let key = Key { size: 1, order: 0, scenario: "get", connections: 1, arm: String::new() };
        book.enter(key.clone(), Sample { done: 5, seconds: 1.0, ..Sample::default() });
        assert_eq!(book.faults(), 0);
        book.enter(key, Sample { wrong: 2, ..Sample::default() });
        book.registers.insert(1, Register { lost: 1, ..Register::default() });
        book.refused.push((1, "contains", "tooMany".to_owned()));
        assert_eq!(book.faults(), 4);
        assert_eq!(book.figure(1, "get", 1, "").map(|figure| (figure.rounds, figure.wrong)), Some((2, 2)));
    }
}
