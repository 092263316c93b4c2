//! What a simulation is about: the book (rules and policies, and so everybody), a run that would be undone, or writes that would be
//! made. The first goes through all Users, the others through what they touch.

use std::sync::Arc;

use store::ResourceId;

use super::record::Document;
use super::undo::{self, Undo};
use super::writes::{self, Writes};
use crate::directory::{Ctx, Directory, Error};

/// What a simulation is about, with what is read of it beforehand.
#[derive(Clone)]
pub(super) enum Subject {
    /// Rules and policies.
    Book,
    /// A run that would be undone.
    Undo(Arc<Undo>),
    /// Writes that would be made.
    Writes(Arc<Writes>),
}

impl Subject {
    /// Whose doing it would be, where it is not the scheduler's.
    pub(super) fn ctx(&self) -> Option<&Ctx> {
        match self {
            Subject::Book => None,
            Subject::Undo(undo) => Some(undo.ctx()),
            Subject::Writes(writes) => Some(writes.ctx()),
        }
    }

    /// Whether it goes through all Users.
    pub(super) fn is_about_all(&self) -> bool {
        matches!(self, Subject::Book)
    }
}

/// Whether a simulation that says this of itself has a subject of its own, which limits of the guard are asked about beforehand.
pub(super) fn is_own(document: &Document) -> bool {
    undo::run_of(document).is_some() || writes::are_asked(document)
}

impl Directory {
    /// What the document of a simulation is about. Fails with the reason where that is not known any more.
    pub(super) async fn subject(&self, ctx: &Ctx, id: ResourceId, document: &Document) -> Result<Subject, Error> {
        Ok(match undo::run_of(document) {
            Some(run) => Subject::Undo(Arc::new(self.undoing(ctx, run).await?)),
            None if writes::are_asked(document) => {
                Subject::Writes(Arc::new(self.simulated_writes(ctx, id, document).await?))
            }
            None => Subject::Book,
        })
    }
}
