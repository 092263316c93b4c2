//! What Linux tells of this process in `/proc/self`. What cannot be read is left out, never guessed.

use std::fs;

/// Ticks a second in which Linux tells processor time, on every platform we run on.
const TICKS: f64 = 100.0;

/// The process at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Process {
    /// Processor time in seconds, in the program and in the system for it.
    pub(super) processor: Option<f64>,
    /// Memory in bytes.
    pub(super) memory: Option<u64>,
    /// Files and connections that are open.
    pub(super) files: Option<usize>,
    /// How many may be.
    pub(super) files_most: Option<usize>,
}

impl Process {
    /// Looks at this process.
    pub(super) fn look() -> Self {
        let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
        Process {
            processor: processor(&read("stat")),
            memory: memory(&read("status")),
            files: fs::read_dir("/proc/self/fd").ok().map(Iterator::count),
            files_most: files_most(),
        }
    }
}

/// Of `stat`: the fourteenth and fifteenth fields. The second may hold blanks and ends with the last bracket.
fn processor(stat: &str) -> Option<f64> {
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some((ticks()? + ticks()?) as f64 / TICKS)
}

fn memory(status: &str) -> Option<u64> {
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(resident.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// How many files and connections may be open.
pub(in crate::http) fn files_most() -> Option<usize> {
    files_most_of(&fs::read_to_string("/proc/self/limits").ok()?)
}

fn files_most_of(limits: &str) -> Option<usize> {
    limits.lines().find_map(|line| line.strip_prefix("Max open files"))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_writes_is_read() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 4011 0 14 0 250 50 0 0 20 0 9 0 31 1 2";
        assert_eq!(processor(stat), Some(3.0));
        assert_eq!(memory("Name:\tx\nVmRSS:\t   12 kB\nThreads: 1"), Some(12_288));
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 4096  files";
        assert_eq!(files_most_of(limits), Some(1024));
        for nothing in ["", "7 (x", "VmRSS: much kB"] {
            assert_eq!((processor(nothing), memory(nothing), files_most_of(nothing)), (None, None, None));
        }
    }

    #[test]
    fn this_process_can_be_looked_at() {
        let Process { processor, memory, files, files_most } = Process::look();
        assert!(processor.is_some() && memory > Some(0) && files > Some(0) && files_most > Some(0));
    }
}
