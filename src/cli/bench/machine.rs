//! What the machine says of processes and of itself: processor time, memory, the time of an fsync. Read from /proc
//! (Linux); elsewhere a figure is left out rather than guessed.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

/// Processor time that a process has used so far, in µs.
///
/// The scheduler's own count in ns for each thread, where it is there; else the count in ticks.
pub(super) fn processor_time(process: u32) -> Option<f64> {
    scheduled(process).or_else(|| ticks(process))
}

fn scheduled(process: u32) -> Option<f64> {
    let mut sum = 0.0;
    for thread in fs::read_dir(format!("/proc/{process}/task")).ok()?.flatten() {
        // A thread may end while it is looked at.
        let Ok(text) = fs::read_to_string(thread.path().join("schedstat")) else { continue };
        sum += text.split(' ').next()?.parse::<f64>().ok()?;
    }
    (sum > 0.0).then_some(sum / 1_000.0)
}

/// The same in ticks of 10 ms, that of threads which have ended by now included: for what takes seconds.
pub(super) fn ticks(process: u32) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name, in parentheses, may hold spaces: utime and stime are the 12th and 13th field behind it.
    let mut fields = text.rsplit_once(") ")?.1.split(' ').skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) * 10_000.0)
}

/// Memory that is a process's own share (PSS), in bytes.
pub(super) fn memory(process: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kib| kib * 1024)
}

/// What a figure has to be read with. `awake`: whether the cores are kept from sleeping.
pub(super) fn facts(folder: &Path, awake: bool) -> Value {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let processor = read("/proc/cpuinfo")
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name.to_owned()));
    let memory = read("/proc/meminfo").lines().find_map(|line| {
        line.strip_prefix("MemTotal:")?.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kib| kib / 1024)
    });
    json!({
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "processor": processor,
        "memoryMiB": memory,
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "load": read("/proc/loadavg").split(' ').next().and_then(|load| load.parse::<f64>().ok()),
        "fsyncMicroseconds": fsync_time(folder).ok(),
        "version": env!("CARGO_PKG_VERSION"),
        "awake": awake,
        "build": if cfg!(debug_assertions) { "debug" } else { "release" },
    })
}

/// The median time that 4 KiB more of a file take to be durable, in µs.
fn fsync_time(folder: &Path) -> anyhow::Result<f64> {
    let path = folder.join("fsync");
    let mut file = File::create(&path)?;
    let mut times = Vec::new();
    for _ in 0..100 {
        let begun = Instant::now();
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        times.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    fs::remove_file(path)?;
    Ok(super::measure::median(&mut times).round())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_process_has_used_time_and_memory() {
        let process = std::process::id();
        let mut sum = 0_u64;
        for n in 0..50_000_000_u64 {
            sum = std::hint::black_box(sum.wrapping_add(n));
        }
        assert!(ticks(process).is_some_and(|used| used > 0.0));
        assert!(processor_time(process).is_some_and(|used| used > 0.0));
        assert!(memory(process).is_some_and(|bytes| bytes > 1 << 20));
    }
}
