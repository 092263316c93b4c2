//! Where a writer works. Its own thread is there batch by batch. On SQLite a write that comes alone is made at once by the
//! thread that asks, while the desk is free: to wake another thread, and to be woken by it, is a fifth of what such a write
//! takes.
//!
//! Whoever asks is kept until the commit is durable. So it is done only where nothing else waits, where commits have been
//! quick of late, while the log is not carried over, and without waiting for another process. Whatever else is in the way
//! is for the writer's own thread.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::TenantId;
use crate::log;
use crate::queue::{Gathering, Op};
use crate::store::Shared;
use crate::writer::Writer;

/// A writer, and who is let at it.
pub(crate) struct Desk {
    shared: Arc<Shared>,
    writer: Mutex<Writer>,
}

impl Desk {
    pub(crate) fn new(shared: Arc<Shared>, writer: Writer) -> Self {
        Desk { shared, writer: Mutex::new(writer) }
    }

    fn sit_down(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves the queue until it is closed, and closes the connection then. `many_tenants`: it serves alone, so that its
    /// batches span tenants.
    pub(crate) fn serve(&self, many_tenants: bool) {
        let mut gathering = Gathering::default();
        while let Some(batch) = self.shared.queue.take(many_tenants, gathering) {
            let size = batch.iter().map(|(_, ops)| ops.len()).sum();
            let mut writer = self.sit_down();
            let left = writer.serve(batch);
            self.shared.queue.release(left);
            if many_tenants {
                gathering = writer.note(size);
                self.shared.log.grow(size);
                if self.shared.log.is_to_be_ended() {
                    writer.on_connection(log::end);
                }
            }
        }
        self.sit_down().close();
    }

    /// Makes a write on this thread and answers it, if nothing keeps it from being made at once; otherwise puts it in the queue.
    pub(crate) fn write_at_once(&self, tenant: TenantId, op: Box<dyn Op>) {
        let Shared { queue, log, .. } = &*self.shared;
        let free = self.writer.try_lock().ok().filter(|writer| writer.is_quick() && log.is_quiet());
        let Some(mut writer) = free else { return queue.push(tenant, op) };
        if !queue.take_alone(tenant) {
            return queue.push(tenant, op);
        }
        let left = writer.serve_at_once(tenant, op);
        let is_done = left.iter().all(|(_, ops)| ops.is_empty());
        queue.release(left);
        if is_done {
            writer.note(1);
            log.grow(1);
        }
    }
}
