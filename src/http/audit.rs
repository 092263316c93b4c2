//! Denied requests (401 of a tenant that is known, 403, 429) on their way to the audit: noted in memory when they are
//! answered, written by the tenant's own writer a moment later. Of one client, or of one address that shows no valid
//! token, so many a minute are told one by one, and so many of one tenant; what comes beyond is counted, and one event
//! tells how many more there were. Whoever sends denied requests by the million leaves a few lines.
//!
//! Nothing here is on the way of a request that is allowed. An entry holds method, route and status, never a query, a
//! body, a header or a name that the server did not give.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::body::BoxBody;
use actix_web::dev::ServiceResponse;
use actix_web::http::StatusCode;
use actix_web::{HttpMessage, HttpRequest, web};
use store::{By, ResourceId, TenantId};
use uuid::Uuid;

use super::error::Failure;
use super::extract::{Asker, Doors, RequestId};
use super::routes::Pattern;
use super::{State, proxy};
use crate::auth::{Meant, oauth};
use crate::directory::audit::Denial;
use crate::directory::clients::CLIENT;

/// How often what was noted is written.
const PERIOD: Duration = Duration::from_millis(500);
/// µs.
const MINUTE: i64 = 60_000_000;
/// Events a minute that one client, or one address, gets told one by one.
const EACH: u64 = 30;
/// Events a minute of one tenant that are told one by one.
const TENANT: u64 = 300;
/// Whoever is counted in one minute, at most; the others are counted together, tenant by tenant.
const COUNTED: usize = 10_000;
/// Events that wait for a database that does not take them; what comes beyond is counted in the log alone.
const WAITING: usize = 10_000;

/// Whom a request is counted for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Whose {
    Client(ResourceId),
    Address(Option<IpAddr>),
    /// The whole tenant.
    Everyone,
}

/// What came of one of them in a minute.
struct Count {
    /// The minute, counted from 1970.
    minute: i64,
    told: u64,
    /// The last of those that were not told, and how many they are.
    more: Option<Denial>,
}

#[derive(Default)]
struct Noted {
    waiting: Vec<(TenantId, Denial)>,
    counts: HashMap<(TenantId, Whose), Count>,
    lost: u64,
}

/// Denied requests that are not written yet.
#[derive(Default)]
pub(super) struct Denials(Mutex<Noted>);

impl Denials {
    fn noted(&self) -> std::sync::MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a denied request.
    fn note(&self, tenant: TenantId, whose: Whose, denial: Denial) {
        let mut noted = self.noted();
        let minute = denial.at.div_euclid(MINUTE);
        let is_known = noted.counts.contains_key(&(tenant, whose.clone()));
        let whose = if is_known || noted.counts.len() < COUNTED { whose } else { Whose::Everyone };
        let told = |noted: &mut Noted, whose: Whose| match noted.counts.entry((tenant, whose)) {
            Slot::Occupied(slot) if slot.get().minute >= minute => slot.get().told,
            // What was counted in an earlier minute and is not written yet stays to be told.
            Slot::Occupied(mut slot) => {
                let more = slot.get_mut().more.take();
                slot.insert(Count { minute, told: 0, more: None });
                if let Some(more) = more {
                    noted.push(tenant, more);
                }
                0
            }
            Slot::Vacant(slot) => slot.insert(Count { minute, told: 0, more: None }).told,
        };
        let of_tenant = told(&mut noted, Whose::Everyone);
        let of_one = told(&mut noted, whose.clone());
        if of_one < EACH && of_tenant < TENANT {
            for who in [whose, Whose::Everyone] {
                if let Some(count) = noted.counts.get_mut(&(tenant, who)) {
                    count.told += 1;
                }
            }
            noted.push(tenant, denial);
        } else if let Some(count) = noted.counts.get_mut(&(tenant, whose)) {
            let before = count.more.as_ref().map_or(0, |more| more.count);
            count.more = Some(Denial { count: before + 1, ..denial });
        }
    }

    /// What is to be written now, by tenant. What is counted is told when its minute is over, or at the end.
    fn take(&self, now: i64, is_end: bool) -> HashMap<TenantId, Vec<Denial>> {
        let mut noted = self.noted();
        let minute = now.div_euclid(MINUTE);
        let mut over = Vec::new();
        noted.counts.retain(|(tenant, _), count| {
            let is_over = is_end || count.minute < minute;
            if is_over {
                over.extend(count.more.take().map(|more| (*tenant, more)));
            }
            !is_over
        });
        over.into_iter().for_each(|(tenant, more)| noted.push(tenant, more));
        if noted.lost > 0 {
            tracing::error!(
                events = noted.lost,
                "denied requests could not be remembered: the database does not take them"
            );
            noted.lost = 0;
        }
        let mut due: HashMap<TenantId, Vec<Denial>> = HashMap::new();
        for (tenant, denial) in noted.waiting.drain(..) {
            due.entry(tenant).or_default().push(denial);
        }
        due
    }

    /// Writes what is due.
    async fn write(&self, state: &State, now: i64, is_end: bool) {
        for (tenant, denials) in self.take(now, is_end) {
            let entries = denials.iter().map(Denial::entry).collect();
            match state.directory.remember(tenant, now, entries).await {
                Ok(()) => {}
                // A tenant that does not exist has no audit.
                Err(error) if !error.may_pass() => {
                    tracing::debug!(%error, tenant = tenant.0, "denied requests belong to no tenant");
                }
                Err(error) => {
                    tracing::warn!(%error, tenant = tenant.0, "denied requests are not remembered yet");
                    let mut noted = self.noted();
                    denials.into_iter().for_each(|denial| noted.push(tenant, denial));
                }
            }
        }
    }
}

impl Noted {
    fn push(&mut self, tenant: TenantId, denial: Denial) {
        if self.waiting.len() < WAITING {
            self.waiting.push((tenant, denial));
        } else {
            self.lost += denial.count;
        }
    }
}

/// Writes what was noted, from time to time.
pub(super) async fn keep(state: Arc<State>) {
    let mut ticks = tokio::time::interval(PERIOD);
    loop {
        ticks.tick().await;
        state.denials.write(&state, state.now(), false).await;
    }
}

/// Writes all that was noted, when the server stops.
pub(super) async fn finish(state: &State) {
    state.denials.write(state, state.now(), true).await;
}

/// Notes the answer to a request if it is a denial and the tenant is known: the client's, and whichever the request says to
/// be for.
pub(super) fn look_at(response: &ServiceResponse<BoxBody>, state: &web::Data<State>) {
    let failure = response.response().error().and_then(|error| error.as_error::<Failure>());
    if !is_denial(response.status(), failure) {
        return;
    }
    let request = response.request();
    let asker = request.extensions().get::<Asker>().cloned();
    let doors = request.extensions().get::<Doors>().cloned().unwrap_or_default().0;
    let (address, request_id) = (
        proxy::client(request, &state.settings.trusted_proxies),
        request.extensions().get::<RequestId>().map(|id| Arc::clone(&id.0)),
    );
    let note = |tenant: TenantId, client: Option<(ResourceId, Arc<str>)>, credential, claimed: Option<ResourceId>| {
        let whose = client.as_ref().map_or(Whose::Address(address), |(id, _)| Whose::Client(*id));
        let (path, mut resource) = place(request, state, tenant);
        if resource == (None, None) {
            resource = (claimed.map(|id| id.0), claimed.map(|_| CLIENT.to_owned()));
        }
        let denial = Denial {
            at: state.now(),
            client,
            by: By { credential, address, request: request_id.clone() },
            method: request.method().as_str().chars().take(16).collect(),
            path,
            resource,
            status: response.status().as_u16(),
            reason: failure.map(|failure| failure.told().detail).unwrap_or_default(),
            count: 1,
        };
        state.denials.note(tenant, whose, denial);
    };
    let own = asker.as_ref().map(|asker| TenantId(asker.tenant));
    if let Some(asker) = asker {
        note(TenantId(asker.tenant), Some((asker.id, asker.client)), asker.credential, None);
    }
    for Meant { tenant, client, credential } in doors.into_iter().filter(|door| Some(door.tenant) != own) {
        note(tenant, None, credential, client);
    }
}

/// Whether an answer is one: by its status, or because the token endpoint says 400 to a client that is known and may not.
fn is_denial(status: StatusCode, failure: Option<&Failure>) -> bool {
    let is_status = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS);
    is_status || matches!(failure, Some(Failure::OAuth(oauth::Denial::Suspended | oauth::Denial::Scope(_))))
}

/// The path with those names alone that the server gives, the id in it, and the resource type.
fn place(request: &HttpRequest, state: &State, tenant: TenantId) -> (String, (Option<Uuid>, Option<String>)) {
    let pattern = request.app_data::<Pattern>().map_or("", |pattern| pattern.0);
    let id = request.match_info().get("id").and_then(|id| Uuid::parse_str(id).ok());
    let endpoint = request.match_info().get("endpoint").unwrap_or_default();
    let registry = state.directory.registry_of(tenant);
    let definition = registry
        .definitions()
        .iter()
        .find(|known| !endpoint.is_empty() && known.endpoint().eq_ignore_ascii_case(endpoint));
    let mut path = pattern.to_owned();
    if let Some(definition) = definition {
        // Some patterns name the endpoint that they are for.
        if let Some((from, to)) =
            path.find("{endpoint").and_then(|from| Some((from, from + path.get(from..)?.find('}')?)))
        {
            path.replace_range(from..=to, definition.endpoint());
        }
    }
    if let Some(id) = id {
        path = path.replace("{id}", &id.to_string());
    }
    (path, (id, definition.map(|definition| definition.name().to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denial(at: i64) -> Denial {
        Denial {
            at,
            client: None,
            by: By::default(),
            method: "GET".into(),
            path: "/scim/v2/Users".into(),
            resource: (None, None),
            status: 403,
            reason: "No.".into(),
            count: 1,
        }
    }

    fn note(denials: &Denials, tenant: i64, address: u8, at: i64) {
        let address = Some(IpAddr::from([192, 0, 2, address]));
        denials.note(TenantId(tenant), Whose::Address(address), denial(at));
    }

    fn counts(due: &HashMap<TenantId, Vec<Denial>>, tenant: i64) -> Vec<u64> {
        due.get(&TenantId(tenant)).into_iter().flatten().map(|denial| denial.count).collect()
    }

    #[test]
    fn so_many_of_one_are_told_and_the_others_counted_when_the_minute_is_over() {
        let denials = Denials::default();
        for n in 0..500 {
            note(&denials, 1, 7, MINUTE + n);
        }
        assert_eq!(counts(&denials.take(MINUTE + 600, false), 1), vec![1; EACH as usize]);
        note(&denials, 1, 7, MINUTE + 700);
        assert!(denials.take(MINUTE + 800, false).is_empty(), "the minute is not over");
        assert_eq!(counts(&denials.take(2 * MINUTE, false), 1), [501 - EACH]);
        assert!(denials.take(9 * MINUTE, true).is_empty(), "and told once");
    }

    #[test]
    fn what_was_counted_is_told_before_the_next_minute_begins_or_at_the_end() {
        let denials = Denials::default();
        for n in 0..100 {
            note(&denials, 1, 7, n);
        }
        note(&denials, 1, 7, MINUTE);
        let told = counts(&denials.take(MINUTE, false), 1);
        assert_eq!((told.len() as u64, told.iter().sum::<u64>()), (EACH + 2, 101));
        for n in 0..100 {
            note(&denials, 1, 8, MINUTE + n);
        }
        assert_eq!(counts(&denials.take(MINUTE, true), 1).iter().sum::<u64>(), 100);
    }

    #[test]
    fn many_addresses_are_one_tenant_and_no_other_is_touched_by_it() {
        let denials = Denials::default();
        for n in 0..250 {
            for _ in 0..10 {
                note(&denials, 1, n, 5);
            }
        }
        note(&denials, 2, 1, 5);
        let due = denials.take(6, false);
        assert_eq!(counts(&due, 1).len() as u64, TENANT);
        assert_eq!(counts(&due, 2), [1]);
        let more = counts(&denials.take(MINUTE, false), 1);
        assert_eq!(more.iter().sum::<u64>(), 2_500 - TENANT);
    }
}
