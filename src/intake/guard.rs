//! Whether a run of a file does too much at once, by what its map lets pass. Pure: counts and limits in, what is exceeded out,
//! by the engine of `provisioning`.

use provisioning::guard::{Threshold, exceeded};

use crate::directory::feeds::map::{Limits, Mode};
use crate::directory::feeds::{Counts, Tripped};

/// What of a run exceeds the limits. `raised`: percent that are allowed of each sort for once.
pub(super) fn tripped(counts: &Counts, limits: &Limits, mode: Mode, raised: Option<f64>) -> Vec<Tripped> {
    let most = |threshold: Threshold| {
        let percent = raised.map_or(threshold.percent, |raised| raised.max(threshold.percent));
        Threshold { percent, ..threshold }.limit(counts.living)
    };
    // Rows without a key are no keys: a file of them alone is all refused.
    let keys = counts.keys.max(counts.rejected);
    let rejects = Threshold { percent: limits.rejects.min(100.0), floor: 0 };
    let asked = [
        ("creates", counts.created, most(limits.creates)),
        ("disables", counts.disabled, most(limits.disables)),
        ("deletes", counts.deleted, most(limits.deletes)),
        ("rejects", counts.rejected, rejects.limit(keys)),
    ];
    let mut tripped: Vec<Tripped> = exceeded(asked).into_iter().map(Tripped::from).collect();
    // However few there were before: a snapshot without anybody is a broken export.
    if mode == Mode::Full && counts.keys == 0 {
        tripped.push(Tripped { limit: "empty".into(), count: 0, most: 0 });
    }
    tripped
}

/// Whether a person who allowed what was planned has allowed this too.
pub(super) fn is_within(counts: &Counts, allowed: &Counts) -> bool {
    let of = |counts: &Counts| [counts.created, counts.disabled, counts.deleted, counts.rejected];
    of(counts).into_iter().zip(of(allowed)).all(|(count, allowed)| count <= allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_hold_both_ways_by_share_and_by_number() {
        let counts = |living, created, disabled, deleted, keys, rejected| Counts {
            living,
            created,
            disabled,
            deleted,
            keys,
            rejected,
            ..Counts::default()
        };
        let table: [(Counts, Mode, Option<f64>, &[&str]); 12] = [
            (counts(1_000, 0, 0, 0, 1_000, 0), Mode::Full, None, &[]),
            (counts(1_000, 200, 50, 20, 1_000, 50), Mode::Full, None, &[]),
            (counts(1_000, 201, 51, 21, 1_000, 51), Mode::Full, None, &["creates", "disables", "deletes", "rejects"]),
            // The floors.
            (counts(10, 50, 10, 5, 60, 0), Mode::Delta, None, &[]),
            (counts(10, 51, 0, 0, 60, 0), Mode::Delta, None, &["creates"]),
            (counts(0, 51, 0, 0, 51, 0), Mode::Full, None, &["creates"]),
            // A raise lifts shares, never the share of what is refused.
            (counts(1_000, 900, 900, 0, 1_000, 51), Mode::Full, Some(90.0), &["rejects"]),
            (counts(1_000, 0, 0, 0, 1_000, 0), Mode::Full, Some(0.0), &[]),
            // However small the register.
            (counts(3, 0, 3, 0, 0, 0), Mode::Full, None, &["empty"]),
            (counts(3, 0, 0, 0, 0, 0), Mode::Delta, None, &[]),
            (counts(3, 0, 0, 0, 0, 7), Mode::Delta, None, &["rejects"]),
            (counts(3, 0, 0, 0, 0, 0), Mode::Full, Some(100.0), &["empty"]),
        ];
        for (counts, mode, raised, expected) in table {
            let found = tripped(&counts, &Limits::default(), mode, raised);
            let names: Vec<&str> = found.iter().map(|tripped| tripped.limit.as_str()).collect();
            assert_eq!(names, expected, "{counts:?}");
        }
    }
}
