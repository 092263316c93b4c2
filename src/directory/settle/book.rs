//! The book: a tenant's policies, rules and what they go by, read and checked once and kept until one of them changes. Under
//! the lock it is the book as the operations before this one of the same batch have left it.

use std::sync::Arc;

use provisioning::rules::Rule;
use store::Work;

use super::super::{Error, rules};

/// A tenant's policies and rules, ready to be asked.
#[derive(Debug, Default)]
pub(in crate::directory) struct Book {
    /// The active rules, by name.
    rules: Vec<Arc<Rule>>,
}

impl Book {
    /// The book as this write finds it.
    pub(in crate::directory) fn of(work: &mut Work<'_>) -> Result<Arc<Book>, Error> {
        if let Some(book) = work.book().and_then(|book| book.downcast::<Book>().ok()) {
            return Ok(book);
        }
        let book = Arc::new(Book::read(work)?);
        work.keep_book(book.clone());
        Ok(book)
    }

    /// The active rules, by name.
    pub(in crate::directory) fn rules(&self) -> &[Arc<Rule>] {
        &self.rules
    }

    fn read(work: &mut Work<'_>) -> Result<Book, Error> {
        Ok(Book { rules: rules::read_active(work)? })
    }
}
