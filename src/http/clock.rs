//! What time it is for those who serve. A server has the machine's clock; one that is tried out may have another, since nothing
//! else asks for the time.

use std::sync::Arc;

/// Answers with the moment, µs since 1970.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> i64 + Send + Sync>);

impl Clock {
    /// A clock of one's own.
    pub fn of(moment: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Clock(Arc::new(moment))
    }

    /// The machine's.
    #[expect(clippy::disallowed_methods, reason = "the moment of a request enters here, as Ctx::now")]
    pub fn of_machine() -> Self {
        Clock::of(|| jiff::Timestamp::now().as_microsecond())
    }

    /// The same as a function, for whoever asks again and again.
    pub(super) fn shared(&self) -> Arc<dyn Fn() -> i64 + Send + Sync> {
        Arc::clone(&self.0)
    }

    /// The moment, µs since 1970.
    pub fn now(&self) -> i64 {
        (self.0)()
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Clock")
    }
}
