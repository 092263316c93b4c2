//! Keeps the metadata of the federation fresh while the server runs: looks for newer as often as it says, tells the log and
//! the metrics, and has everybody who was let in forgotten once it changes, so that a member that was put out is refused at
//! its next request. Believes nothing itself: that is [`crate::auth::federation`]'s.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use actix_web::web;

use super::State;
use super::metrics::{Page, name};
use crate::auth::federation::{Federation, Members, Refreshed};

/// What is told of the federation.
#[derive(Debug, Default)]
pub(super) struct Counts {
    taken: AtomicU64,
    refused: AtomicU64,
    entities: AtomicU64,
    /// Seconds since 1970; 0: nothing is known.
    expires_at: AtomicI64,
}

impl Counts {
    fn note(&self, members: &Members) {
        let known = members.known();
        let entities = known.as_ref().map_or(0, |known| known.metadata.entities.len());
        self.entities.store(u64::try_from(entities).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.expires_at.store(known.map_or(0, |known| known.header.exp), Ordering::Relaxed);
    }

    pub(super) fn show(&self, page: &mut Page) {
        let expires_at = self.expires_at.load(Ordering::Relaxed);
        page.optional(&name::FEDERATION_EXPIRY, (expires_at != 0).then_some(expires_at));
        page.single(&name::FEDERATION_ENTITIES, self.entities.load(Ordering::Relaxed));
        page.begin(&name::FEDERATION_REFRESHES);
        for (outcome, count) in [("taken", &self.taken), ("refused", &self.refused)] {
            page.value(&name::FEDERATION_REFRESHES, &[("outcome", outcome)], count.load(Ordering::Relaxed));
        }
    }
}

/// Looks for newer metadata from time to time, for ever.
pub(super) async fn keep(mut federation: Federation, state: web::Data<State>) {
    let members = federation.members();
    let counts = &state.federation;
    counts.note(&members);
    if let Some(known) = members.known() {
        tracing::info!(federation = federation.name(), entities = known.metadata.entities.len(), "members are known");
    }
    let mut told = String::new();
    loop {
        let was_known = members.known();
        let outcome = federation.refresh(state.now()).await;
        if was_known.map(|known| known.header.clone()) != members.known().map(|known| known.header.clone()) {
            state.authenticator.forget();
        }
        counts.note(&members);
        match outcome {
            Ok(Refreshed::Same) => told.clear(),
            Ok(Refreshed::Taken) => {
                told.clear();
                counts.taken.fetch_add(1, Ordering::Relaxed);
                if let Some(known) = members.known() {
                    let ends = jiff::Timestamp::from_second(known.header.exp).unwrap_or_default();
                    let entities = known.metadata.entities.len();
                    tracing::info!(federation = federation.name(), entities, %ends, "new metadata is in use");
                }
            }
            Err(error) => {
                // Each attempt counts; each reason is told once.
                counts.refused.fetch_add(1, Ordering::Relaxed);
                let reason = error.to_string();
                if reason != told {
                    tracing::error!(federation = federation.name(), reason, "there is no new metadata");
                    told = reason;
                }
            }
        }
        tokio::time::sleep(federation.pause(state.now())).await;
    }
}
