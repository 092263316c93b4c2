//! The order of operations that need each other: each after those it needs, those that need each other in a circle
//! together, and apart from that as in the message. Linear in operations and needs; no recursion, as a chain may be as
//! long as the message.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Groups the operations into units and orders these. `needs` has for each operation the indices of those it needs.
pub(super) fn units(needs: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let (unit_of, mut units) = circles(needs);
    let mut waits: Vec<usize> = vec![0; units.len()];
    let mut needed_by: Vec<Vec<usize>> = vec![Vec::new(); units.len()];
    for (index, needs) in needs.iter().enumerate() {
        let unit = at(&unit_of, index);
        for need in needs.iter().map(|need| at(&unit_of, *need)).filter(|need| *need != unit) {
            if let (Some(waits), Some(by)) = (waits.get_mut(unit), needed_by.get_mut(need)) {
                *waits += 1;
                by.push(unit);
            }
        }
    }
    // A circle has its turn when the last of it has: what stands before that comes first.
    let turn: Vec<usize> = units.iter().map(|unit| unit.last().copied().unwrap_or_default()).collect();
    let mut ready: BinaryHeap<Reverse<(usize, usize)>> = BinaryHeap::new();
    ready.extend((0..units.len()).filter(|unit| at(&waits, *unit) == 0).map(|unit| Reverse((at(&turn, unit), unit))));
    let mut ordered = Vec::with_capacity(units.len());
    while let Some(Reverse((_, unit))) = ready.pop() {
        ordered.extend(units.get_mut(unit).map(std::mem::take));
        for by in needed_by.get(unit).into_iter().flatten() {
            if let Some(waits) = waits.get_mut(*by) {
                *waits -= 1;
                if *waits == 0 {
                    ready.push(Reverse((at(&turn, *by), *by)));
                }
            }
        }
    }
    ordered
}

/// The strongly connected components (Kosaraju): the component of each operation, and the operations of each component
/// in order.
fn circles(needs: &[Vec<usize>]) -> (Vec<usize>, Vec<Vec<usize>>) {
    let mut needed_by: Vec<Vec<usize>> = vec![Vec::new(); needs.len()];
    for (index, needs) in needs.iter().enumerate() {
        for need in needs {
            if let Some(by) = needed_by.get_mut(*need) {
                by.push(index);
            }
        }
    }
    let mut seen = vec![false; needs.len()];
    let mut finished = Vec::with_capacity(needs.len());
    for root in 0..needs.len() {
        walk(root, needs, &mut seen, &mut finished);
    }
    let mut unit_of = vec![0; needs.len()];
    let mut units = Vec::new();
    let mut seen = vec![false; needs.len()];
    for root in finished.into_iter().rev() {
        let mut unit = Vec::new();
        walk(root, &needed_by, &mut seen, &mut unit);
        if !unit.is_empty() {
            unit.sort_unstable();
            for index in &unit {
                if let Some(of) = unit_of.get_mut(*index) {
                    *of = units.len();
                }
            }
            units.push(unit);
        }
    }
    (unit_of, units)
}

/// Goes depth first from `root` to what has not been seen, and adds each to `finished` after all that it leads to.
fn walk(root: usize, edges: &[Vec<usize>], seen: &mut [bool], finished: &mut Vec<usize>) {
    let mut enter = |index: usize| match seen.get_mut(index) {
        Some(seen) if !*seen => {
            *seen = true;
            true
        }
        _ => false,
    };
    if !enter(root) {
        return;
    }
    let mut path = vec![(root, 0)];
    while let Some((index, next)) = path.last_mut() {
        match edges.get(*index).and_then(|edges| edges.get(*next)) {
            Some(to) => {
                *next += 1;
                if enter(*to) {
                    path.push((*to, 0));
                }
            }
            None => {
                finished.push(*index);
                path.pop();
            }
        }
    }
}

fn at(of: &[usize], index: usize) -> usize {
    of.get(index).copied().unwrap_or_default()
}
