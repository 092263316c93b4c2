//! What waits for the writers, and in which order they take it: tenant by tenant in turn. An operation that comes alone
//! is refused when there is no room. Operations that come together wait outside until there is, as whoever sent them in
//! one piece cannot send a part of it again: no more of them are inside at a time than the writers can use, so that
//! there is room for what comes alone.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::TenantId;
use crate::queue::Op;
use crate::turn::share;

/// Most operations in a batch: each touches a page for nearly every index row that it writes, and one commit of a thousand
/// touches far fewer than two of five hundred.
const BATCH: usize = 1_000;
/// Most operations of one tenant before the next tenant's turn.
const TURN: usize = 100;

type Ops = VecDeque<Box<dyn Op>>;

/// Operations that are run together, by tenant.
pub(crate) type Batch = Vec<(TenantId, Ops)>;

/// What waits.
#[derive(Default)]
pub(crate) struct Waiting {
    inside: HashMap<TenantId, Ops>,
    ready: VecDeque<TenantId>,
    /// Tenants that a writer is serving.
    busy: HashSet<TenantId>,
    length: usize,
    /// What came together and has not been let in, in the order in which it came.
    outside: HashMap<TenantId, VecDeque<Ops>>,
    /// The tenants that wait outside, in turn.
    turns: VecDeque<TenantId>,
    /// Operations that may wait inside.
    capacity: usize,
}

impl Waiting {
    pub(crate) fn new(capacity: usize) -> Self {
        Waiting { capacity, ..Waiting::default() }
    }

    /// Operations that a writer may take.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// All operations that wait.
    pub(crate) fn total(&self) -> usize {
        self.length + self.outside.values().flatten().map(VecDeque::len).sum::<usize>()
    }

    fn length_of(&self, tenant: TenantId) -> usize {
        self.inside.get(&tenant).map_or(0, VecDeque::len)
    }

    /// Whether there is room for an operation that comes alone.
    pub(crate) fn has_room(&self, tenant: TenantId) -> bool {
        self.length < self.capacity && self.length_of(tenant) < share(self.capacity)
    }

    /// Adds an operation.
    pub(crate) fn put(&mut self, tenant: TenantId, op: Box<dyn Op>) {
        self.length += 1;
        self.inside.entry(tenant).or_default().push_back(op);
        if !self.busy.contains(&tenant) && !self.ready.contains(&tenant) {
            self.ready.push_back(tenant);
        }
    }

    /// Adds operations in this order as soon as there is room, none of which a writer takes before all are there.
    pub(crate) fn put_together(&mut self, tenant: TenantId, ops: Ops) {
        if !self.outside.contains_key(&tenant) {
            self.turns.push_back(tenant);
        }
        self.outside.entry(tenant).or_default().push_back(ops);
        self.let_in();
    }

    /// Lets in what waits outside, one piece of each tenant in turn, as far as there is room.
    fn let_in(&mut self) {
        for _ in 0..self.turns.len() {
            let Some(tenant) = self.turns.pop_front() else { return };
            let is_served = self.length_of(tenant) >= BATCH;
            let Some(pieces) = self.outside.get_mut(&tenant) else { continue };
            let length = pieces.front().map_or(0, VecDeque::len);
            if !is_served && self.length > 0 && self.length + length > self.capacity / 2 {
                // It is the first when there is room.
                self.turns.push_front(tenant);
                return;
            }
            let piece = if is_served { None } else { pieces.pop_front() };
            if pieces.is_empty() {
                self.outside.remove(&tenant);
            } else {
                self.turns.push_back(tenant);
            }
            piece.into_iter().flatten().for_each(|op| self.put(tenant, op));
        }
    }

    /// Takes out what has not been let in.
    pub(crate) fn turn_away(&mut self) -> impl Iterator<Item = Box<dyn Op>> + use<> {
        self.turns.clear();
        std::mem::take(&mut self.outside).into_values().flatten().flatten()
    }

    /// Takes a batch; `None` when nothing waits of which no writer has the tenant.
    pub(crate) fn batch(&mut self, many_tenants: bool) -> Option<Batch> {
        let mut batch = Vec::new();
        let mut size = 0;
        let turn = if many_tenants && self.ready.len() > 1 { TURN } else { BATCH };
        while size < BATCH
            && let Some(tenant) = self.ready.pop_front()
        {
            let queue = self.inside.entry(tenant).or_default();
            let ops: VecDeque<_> = queue.drain(..queue.len().min(turn)).collect();
            if queue.is_empty() {
                self.inside.remove(&tenant);
            }
            size += ops.len();
            self.busy.insert(tenant);
            batch.push((tenant, ops));
            if !many_tenants {
                break;
            }
        }
        self.length -= size;
        self.let_in();
        (!batch.is_empty()).then_some(batch)
    }

    /// Takes a tenant of which nothing waits, if nothing at all does and no writer is at work.
    pub(crate) fn take_alone(&mut self, tenant: TenantId) -> bool {
        let is_idle = self.length == 0 && self.turns.is_empty() && self.busy.is_empty();
        is_idle && self.busy.insert(tenant)
    }

    /// Lets other writers at a tenant again, and puts back what was not run.
    pub(crate) fn release(&mut self, tenant: TenantId, mut left: Ops) {
        self.busy.remove(&tenant);
        self.length += left.len();
        let queue = self.inside.entry(tenant).or_default();
        while let Some(op) = left.pop_back() {
            queue.push_front(op);
        }
        if queue.is_empty() {
            self.inside.remove(&tenant);
        } else if !self.ready.contains(&tenant) {
            self.ready.push_back(tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use crate::work::Work;

    struct Nothing;

    impl Op for Nothing {
        fn run(&mut self, _: &mut Work<'_>) -> bool {
            true
        }

        fn settle(self: Box<Self>, _: Result<(), Error>) {}
    }

    const A: TenantId = TenantId(1);
    const B: TenantId = TenantId(2);

    fn piece(length: usize) -> Ops {
        (0..length).map(|_| Box::new(Nothing) as Box<dyn Op>).collect()
    }

    /// Takes a batch and says how many operations of which tenant are in it.
    fn take(waiting: &mut Waiting) -> Vec<(TenantId, usize)> {
        let batch = waiting.batch(true).expect("something waits");
        let taken = batch.iter().map(|(tenant, ops)| (*tenant, ops.len())).collect();
        batch.into_iter().for_each(|(tenant, _)| waiting.release(tenant, VecDeque::new()));
        taken
    }

    #[test]
    fn what_comes_together_waits_for_room_and_leaves_some_for_what_comes_alone() {
        let mut waiting = Waiting::new(4_000);
        (0..5).for_each(|_| waiting.put_together(A, piece(1_000)));
        assert_eq!((waiting.length(), waiting.total()), (1_000, 5_000), "a batch of one tenant");
        assert!(waiting.has_room(A) && waiting.has_room(B));
        waiting.put_together(B, piece(600));
        assert_eq!(waiting.length(), 1_600, "another tenant waits for itself");
        waiting.put_together(TenantId(3), piece(600));
        assert_eq!(waiting.length(), 1_600, "half of the room is for what comes alone");
        let mut taken = 0;
        while waiting.total() > 0 {
            taken += take(&mut waiting).iter().map(|(_, length)| length).sum::<usize>();
        }
        assert_eq!(taken, 6_200);
        assert!(waiting.batch(true).is_none() && waiting.outside.is_empty() && waiting.turns.is_empty());
    }

    #[test]
    fn the_next_piece_is_there_when_a_batch_is_taken() {
        let mut waiting = Waiting::new(4_000);
        (0..3).for_each(|_| waiting.put_together(A, piece(1_000)));
        assert_eq!(take(&mut waiting), [(A, 1_000)]);
        assert_eq!((waiting.length(), waiting.total()), (1_000, 2_000));
    }

    #[test]
    fn what_is_larger_than_all_the_room_comes_in_when_nothing_else_waits() {
        let mut waiting = Waiting::new(2);
        waiting.put(A, Box::new(Nothing));
        waiting.put_together(A, piece(5));
        assert_eq!(waiting.length(), 1);
        assert_eq!(take(&mut waiting), [(A, 1)]);
        assert_eq!(take(&mut waiting), [(A, 5)]);
    }

    #[test]
    fn what_is_turned_away_is_what_was_outside() {
        let mut waiting = Waiting::new(4_000);
        (0..3).for_each(|_| waiting.put_together(A, piece(1_000)));
        assert_eq!(waiting.turn_away().count(), 2_000);
        assert_eq!(take(&mut waiting), [(A, 1_000)]);
        assert_eq!((waiting.length(), waiting.total()), (0, 0));
    }

    #[test]
    fn what_is_taken_alone_comes_before_nobody_and_its_tenant_waits_for_it() {
        let mut waiting = Waiting::new(100);
        waiting.put(A, Box::new(Nothing));
        assert!(!waiting.take_alone(A) && !waiting.take_alone(B), "one waits");
        let batch = waiting.batch(true).expect("something waits");
        assert!(!waiting.take_alone(B), "a writer is at work");
        batch.into_iter().for_each(|(tenant, _)| waiting.release(tenant, VecDeque::new()));
        assert!(waiting.take_alone(A));
        assert!(!waiting.take_alone(A) && !waiting.take_alone(B), "one at a time");
        waiting.put(A, Box::new(Nothing));
        assert!(waiting.batch(true).is_none(), "it waits for its tenant");
        waiting.release(A, piece(1));
        assert_eq!(take(&mut waiting), [(A, 2)], "what was not run comes first");
    }

    #[test]
    fn tenants_outside_take_turns() {
        let mut waiting = Waiting::new(200);
        (0..4).for_each(|_| waiting.put_together(A, piece(100)));
        waiting.put_together(B, piece(100));
        let taken: Vec<_> = (0..5).flat_map(|_| take(&mut waiting)).collect();
        assert_eq!(taken, [A, A, B, A, A].map(|tenant| (tenant, 100)), "the first of them came to an empty room");
    }
}
