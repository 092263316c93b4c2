//! Keeps the processors awake while something else is measured. One that has nothing to do sleeps, and on a virtual machine
//! waking it up costs tens of µs that count as processor time of whoever is woken: a server that waits for requests. A child
//! process for each core, at the lowest priority, counts for nothing; whoever has work takes the core from it.

use std::hint::black_box;
use std::os::unix::process::parent_id;
use std::process::{Child, Command, Stdio};

use anyhow::Context;

use super::subject::end;

/// What the priority is lowered by, as far as it goes.
const LOWEST: &str = "19";
/// Steps between two looks at whether the parent is there still.
const STEPS: u64 = 100_000_000;

/// The processes that keep the cores awake, until they are dropped.
pub(super) struct Awake(Vec<Child>);

impl Awake {
    /// Starts one for each core. Fails where there is no `nice`.
    pub(super) fn start() -> anyhow::Result<Self> {
        let mut awake = Awake(Vec::new());
        let program = std::env::current_exe()?;
        for _ in 0..std::thread::available_parallelism()?.get() {
            let mut command = Command::new("nice");
            command
                .args(["-n", LOWEST])
                .arg(&program)
                .args(["bench", "--keep-awake"])
                .stdin(Stdio::null())
                .stdout(Stdio::null());
            awake.0.push(command.spawn().context("nice, which lowers a priority, could not be started")?);
        }
        Ok(awake)
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(end);
    }
}

/// Counts until it is ended, or whoever started it is gone.
pub(super) fn count() {
    let parent = parent_id();
    let mut sum = 0_u64;
    while parent_id() == parent {
        for step in 0..STEPS {
            sum = black_box(sum.wrapping_add(step));
        }
    }
}
