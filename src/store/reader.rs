//! Reads, on threads of their own: one connection a thread, one queue in which tenants take turns.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::assemble::{GroupRef, MemberRef};
use crate::change::Stored;
use crate::clock::Clock;
use crate::db::{Address, Db, Purpose};
use crate::external::{self, ExternalKey};
use crate::idempotency::Keyed;
use crate::known::Book;
use crate::nesting::Nesting;
use crate::roll::Roll;
use crate::secret::SealingKey;
use crate::statement::Among;
use crate::store::Shared;
use crate::turn::Turns;
use crate::work::{Origin, Work};
use crate::{
    Credential, Deferred, Due, Error, Grant, Record, ResourceId, Route, SealKey, Seq, SigningKey, Tenant, TenantId,
    Tombstone, change, credential, deferred, dialect, due, grant, idempotency, membership, meter, record, route, seal,
    secret, signing, tenant, tombstone, trace,
};

/// Members read at a time.
const MEMBERS: i64 = 5_000;
/// Records read at a time.
const RECORDS: i64 = 500;
/// A connection that lay idle for so long is tried before it is used: a database that was started again meanwhile has
/// forgotten it.
const IDLE: Duration = Duration::from_secs(1);

/// A connection that reads, lent to one use case.
pub struct Reader {
    pub(crate) db: Db,
    pub(crate) shared: Arc<Shared>,
    address: Address,
    pub(crate) in_snapshot: bool,
    /// Connections known to have been lost when this one was last seen alive; `None` when it is lost itself.
    losses: Option<usize>,
    used: Instant,
}

/// A job for a reader thread.
pub(crate) type Job = Box<dyn FnOnce(&mut Reader) + Send>;

impl Reader {
    pub(crate) fn open(address: &Address, shared: Arc<Shared>) -> Result<Self, crate::OpenError> {
        let db = Db::open(address, Purpose::Read)?;
        Ok(Reader { db, shared, address: address.clone(), in_snapshot: false, losses: Some(0), used: Instant::now() })
    }

    /// Serves jobs until nobody can send any more.
    pub(crate) fn serve(mut self, jobs: &Turns) {
        while let Some(job) = jobs.take() {
            // Where one connection was lost the others were too: they are seen to before a caller finds out.
            let is_doubtful = self.losses != Some(self.shared.losses.load(Ordering::Relaxed));
            if is_doubtful || self.used.elapsed() >= IDLE {
                self.mend();
            }
            job(&mut self);
            self.used = Instant::now();
        }
    }

    /// After a failed read: a snapshot that broke off is left, and a connection that is dead is opened anew, so that
    /// the next read may work.
    pub(crate) fn mend(&mut self) {
        if std::mem::take(&mut self.in_snapshot) {
            dialect::rollback(&mut self.db);
        }
        let known = self.shared.losses.load(Ordering::Relaxed);
        if dialect::is_alive(&mut self.db) {
            self.losses = Some(known);
            return;
        }
        // One that cannot be opened anew yet was counted when it was lost.
        if self.losses.take().is_some() {
            meter::count(&self.shared.meter.connections_lost);
        }
        if let Ok(db) = Db::open(&self.address, Purpose::Read) {
            self.db = db;
            meter::count(&self.shared.meter.connections_reopened);
            self.losses = Some(self.shared.losses.fetch_add(1, Ordering::Relaxed) + 1);
        }
    }

    /// Runs several reads that all see the same state. Within another snapshot it is part of that one.
    pub fn snapshot<T, E: From<Error>>(&mut self, body: impl FnOnce(&mut Reader) -> Result<T, E>) -> Result<T, E> {
        if self.in_snapshot {
            return body(self);
        }
        dialect::begin_read(&mut self.db).map_err(Error::from)?;
        self.in_snapshot = true;
        let outcome = body(self);
        self.in_snapshot = false;
        dialect::rollback(&mut self.db);
        outcome
    }

    /// Runs a write that is thrown away: the same code, the same checks, and nothing stored.
    pub fn simulate<T, E: From<Error>>(
        &mut self,
        tenant: TenantId,
        origin: Origin,
        body: impl FnOnce(&mut Work<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.snapshot(|reader| {
            let clock = Clock::read(&mut reader.db, tenant)?;
            let catalog = reader.shared.catalog(&mut reader.db, tenant, clock.catalog)?;
            let nesting = reader.shared.cached_nesting(tenant);
            let books = reader.shared.books();
            let mut work = Work::new(&mut reader.db, tenant, catalog, clock, nesting, books, origin.clone());
            work.begin(origin)?;
            body(&mut work)
        })
    }

    /// The tenant's keys for secrets, as they are stored.
    pub fn sealing_keys(&mut self, tenant: TenantId) -> Result<Vec<SealingKey>, Error> {
        secret::keys(&mut self.db, tenant)
    }

    /// One resource.
    pub fn record(&mut self, tenant: TenantId, id: ResourceId) -> Result<Option<Record>, Error> {
        record::find(&mut self.db, tenant, id)
    }

    /// The groups of one resource, direct and indirect, and the number of the newest change of nesting.
    pub fn groups_of(&mut self, tenant: TenantId, id: ResourceId) -> Result<(Vec<GroupRef>, Seq), Error> {
        let (mut groups, seq) = self.groups_of_all(tenant, &[id])?;
        Ok((groups.remove(&id).unwrap_or_default(), seq))
    }

    /// The groups of each of the resources, direct and indirect, and the number of the newest change of nesting.
    pub fn groups_of_all(
        &mut self,
        tenant: TenantId,
        ids: &[ResourceId],
    ) -> Result<(std::collections::HashMap<ResourceId, Vec<GroupRef>>, Seq), Error> {
        self.groups_among(tenant, Among::Each(ids))
    }

    pub(crate) fn groups_among(
        &mut self,
        tenant: TenantId,
        ids: Among<'_>,
    ) -> Result<(std::collections::HashMap<ResourceId, Vec<GroupRef>>, Seq), Error> {
        // The number first: outside of a snapshot the groups may then be newer than the entity tag that it goes into,
        // which costs a client one more fetch. The other way round it would keep old groups under the newest tag.
        let (nesting, seq) = self.nesting(tenant)?;
        let direct = membership::groups_of_all(&mut self.db, tenant, ids)?;
        Ok((direct.into_iter().map(|(id, groups)| (id, nesting.complete(groups))).collect(), seq))
    }

    /// The same without those that hold one of its groups.
    pub(crate) fn direct_groups_among(
        &mut self,
        tenant: TenantId,
        ids: Among<'_>,
    ) -> Result<(std::collections::HashMap<ResourceId, Vec<GroupRef>>, Seq), Error> {
        let seq = Clock::read(&mut self.db, tenant)?.nesting_seq;
        Ok((membership::groups_of_all(&mut self.db, tenant, ids)?, seq))
    }

    /// Groups within groups, and the number of their newest change.
    pub fn nesting(&mut self, tenant: TenantId) -> Result<(Arc<Nesting>, Seq), Error> {
        let seq = Clock::read(&mut self.db, tenant)?.nesting_seq;
        if let Some((known, nesting)) = self.shared.cached_nesting(tenant)
            && known == seq
        {
            return Ok((nesting, seq));
        }
        let nesting = Arc::new(Nesting::load(&mut self.db, tenant)?);
        self.shared.keep_nesting(tenant, seq, nesting.clone());
        Ok((nesting, seq))
    }

    /// A slice of a group's living members in id order.
    pub fn members(
        &mut self,
        tenant: TenantId,
        group: ResourceId,
        after: Option<ResourceId>,
        limit: i64,
    ) -> Result<Vec<MemberRef>, Error> {
        membership::slice(&mut self.db, tenant, group, after, limit)
    }

    /// All of a group's living members in id order, read in slices.
    pub fn all_members(&mut self, tenant: TenantId, group: ResourceId) -> Result<Vec<MemberRef>, Error> {
        let mut members: Vec<MemberRef> = Vec::new();
        loop {
            let after = members.last().map(|member| member.id);
            let slice = membership::slice(&mut self.db, tenant, group, after, MEMBERS)?;
            let is_last = (slice.len() as i64) < MEMBERS;
            members.extend(slice);
            if is_last {
                return Ok(members);
            }
        }
    }

    /// The same in little memory, for a group of any size; with names only where they are wanted.
    pub fn roll(&mut self, tenant: TenantId, group: ResourceId, with_labels: bool) -> Result<Roll, Error> {
        let (mut roll, mut after) = (Roll::default(), None);
        loop {
            let slice = membership::slice(&mut self.db, tenant, group, after, MEMBERS)?;
            let is_last = (slice.len() as i64) < MEMBERS;
            after = slice.last().map(|member| member.id);
            for member in slice {
                roll.add(member, with_labels)?;
            }
            if is_last {
                return Ok(roll);
            }
        }
    }

    /// Every resource of a kind that there are few of, such as clients, by id.
    pub fn records_of(&mut self, tenant: TenantId, kind: &str) -> Result<Vec<Record>, Error> {
        let mut records: Vec<Record> = Vec::new();
        loop {
            let after = records.last().map(|record| record.id);
            let slice = record::slice(&mut self.db, tenant, kind, after, RECORDS)?;
            let is_last = (slice.len() as i64) < RECORDS;
            records.extend(slice);
            if is_last {
                return Ok(records);
            }
        }
    }

    /// Which of these resources are members of the group.
    pub fn members_among(
        &mut self,
        tenant: TenantId,
        group: ResourceId,
        ids: &[ResourceId],
    ) -> Result<std::collections::HashSet<ResourceId>, Error> {
        Ok(membership::among(&mut self.db, tenant, group, ids)?.into_keys().collect())
    }

    /// Which of these resources are members of the group because a client put them there.
    pub fn members_put_by(
        &mut self,
        tenant: TenantId,
        group: ResourceId,
        ids: &[ResourceId],
        client: ResourceId,
    ) -> Result<std::collections::HashSet<ResourceId>, Error> {
        let members = membership::among(&mut self.db, tenant, group, ids)?;
        let made = membership::made_by(&mut self.db, tenant, client, members.values().map(|one| one.since))?;
        Ok(members.into_iter().filter(|(_, one)| made.contains(&one.since)).map(|(id, _)| id).collect())
    }

    /// The `externalId` that a domain has given a resource.
    pub fn external_of(
        &mut self,
        tenant: TenantId,
        domain: ResourceId,
        id: ResourceId,
    ) -> Result<Option<String>, Error> {
        Ok(external::of_resources(&mut self.db, tenant, domain, Among::Each(&[id]))?.remove(&id))
    }

    /// Who has that `externalId`.
    pub fn external_holder(&mut self, tenant: TenantId, key: &ExternalKey) -> Result<Option<ResourceId>, Error> {
        external::holder(&mut self.db, tenant, key)
    }

    /// Who holds external keys of one domain and resource type, by value.
    pub fn external_holders(
        &mut self,
        tenant: TenantId,
        (domain, kind): (ResourceId, &str),
        values: &[&str],
    ) -> Result<Vec<(String, ResourceId)>, Error> {
        external::holders(&mut self.db, tenant, (domain, kind), values)
    }

    /// The type and the external key in a domain of each of the resources that has one.
    pub fn external_names(
        &mut self,
        tenant: TenantId,
        domain: ResourceId,
        ids: &[ResourceId],
    ) -> Result<Vec<(ResourceId, String, String)>, Error> {
        external::names_of(&mut self.db, tenant, domain, ids)
    }

    /// Living resources of a kind.
    pub fn count(&mut self, tenant: TenantId, kind: &str) -> Result<i64, Error> {
        Ok(Clock::read(&mut self.db, tenant)?.counts.get(kind).copied().unwrap_or_default())
    }

    /// A credential.
    pub fn credential(&mut self, tenant: TenantId, id: uuid::Uuid) -> Result<Option<Credential>, Error> {
        credential::find(&mut self.db, tenant, id)
    }

    /// Where a key leads that names no tenant: a certificate, an issuer, a host name.
    pub fn route(&mut self, key: &str) -> Result<Option<Route>, Error> {
        route::find(&mut self.db, key)
    }

    /// The keys that sign access tokens, the oldest first.
    pub fn signing_keys(&mut self) -> Result<Vec<SigningKey>, Error> {
        signing::all(&mut self.db)
    }

    /// Whether any key begins with `prefix`, which ends in a colon.
    pub fn has_routes(&mut self, prefix: &str) -> Result<bool, Error> {
        route::any(&mut self.db, prefix)
    }

    /// The keys that lead to a tenant, in order, each with what of it.
    pub fn routes_of(&mut self, tenant: TenantId) -> Result<Vec<(String, Option<ResourceId>)>, Error> {
        route::of_tenant(&mut self.db, tenant)
    }

    /// The credentials of a client.
    pub fn credentials_of(&mut self, tenant: TenantId, client: ResourceId) -> Result<Vec<Credential>, Error> {
        credential::of_client(&mut self.db, tenant, client)
    }

    /// The tenant's key for a purpose, if it has been made.
    pub fn seal_key(&mut self, tenant: TenantId, purpose: &str) -> Result<Option<SealKey>, Error> {
        seal::find(&mut self.db, tenant, purpose)
    }

    /// A request that is carried out after its answer, without its body as long as it is not done.
    pub fn deferred(&mut self, tenant: TenantId, id: uuid::Uuid) -> Result<Option<Deferred>, Error> {
        deferred::find(&mut self.db, tenant, id)
    }

    /// The oldest request of a client that was accepted and is not done.
    pub fn next_deferred(&mut self, tenant: TenantId, client: ResourceId) -> Result<Option<Deferred>, Error> {
        deferred::next(&mut self.db, tenant, client)
    }

    /// What was noted of the operations of a deferred request, by place.
    pub fn deferred_outcomes(&mut self, tenant: TenantId, id: uuid::Uuid) -> Result<Vec<(i64, Vec<u8>)>, Error> {
        deferred::outcomes(&mut self.db, tenant, id)
    }

    /// Tenant and client of every request that was accepted before `before` (µs since 1970) and is not done, oldest
    /// first.
    pub fn waiting_deferred(&mut self, before: i64) -> Result<Vec<(TenantId, ResourceId)>, Error> {
        deferred::waiting(&mut self.db, before)
    }

    /// Tenants with results or keys that are to be forgotten at `now`.
    pub fn tenants_to_clear(&mut self, now: i64) -> Result<Vec<TenantId>, Error> {
        let mut tenants = deferred::tenants_to_clear(&mut self.db, now)?;
        tenants.extend(idempotency::tenants_to_clear(&mut self.db, now)?);
        tenants.sort_unstable();
        tenants.dedup();
        Ok(tenants)
    }

    /// The write that a client gave a key, however old.
    pub fn keyed(&mut self, tenant: TenantId, client: ResourceId, key: &[u8]) -> Result<Option<Keyed>, Error> {
        idempotency::find(&mut self.db, tenant, client, key)
    }

    /// What is due at `until` (µs since 1970) or was before, the oldest first, at most `limit`.
    pub fn due_before(&mut self, tenant: TenantId, until: i64, limit: i64) -> Result<Vec<(ResourceId, i64)>, Error> {
        due::before(&mut self.db, tenant, until, limit)
    }

    /// The tenants that are served and have a resource of a kind.
    pub fn tenants_having(&mut self, kind: &str) -> Result<Vec<TenantId>, Error> {
        tenant::having(&mut self.db, kind)
    }

    /// How many resources of a kind have a value at a path that is unique on this server and begins with a text.
    pub fn having_begin(&mut self, tenant: TenantId, (kind, path): (&str, &str), prefix: &str) -> Result<i64, Error> {
        crate::unique::beginning(&mut self.db, tenant, &format!("{kind}:{path}"), prefix)
    }

    /// The tenants that are served and of which something is due at `until` (µs since 1970).
    pub fn tenants_due(&mut self, until: i64) -> Result<Vec<TenantId>, Error> {
        due::tenants(&mut self.db, until)
    }

    /// When a resource is looked at again.
    pub fn due_of(&mut self, tenant: TenantId, id: ResourceId) -> Result<Option<Due>, Error> {
        due::find(&mut self.db, tenant, id)
    }

    /// How many are due at `until`, at most `limit`, and since when the oldest is.
    pub fn backlog(&mut self, tenant: TenantId, until: i64, limit: i64) -> Result<(i64, Option<i64>), Error> {
        due::backlog(&mut self.db, tenant, until, limit)
    }

    /// Every grant of a user, ended ones too, in the order of their keys.
    pub fn grants_of(&mut self, tenant: TenantId, user: ResourceId) -> Result<Vec<Grant>, Error> {
        grant::of_user(&mut self.db, tenant, user)
    }

    /// Every grant of a target, ended ones too, in the order of their keys.
    pub fn grants_on(&mut self, tenant: TenantId, target: ResourceId) -> Result<Vec<Grant>, Error> {
        grant::of_target(&mut self.db, tenant, target)
    }

    /// What is left of a name or number whose owner is gone.
    pub fn tombstone(&mut self, tenant: TenantId, namespace: &str, value: &str) -> Result<Option<Tombstone>, Error> {
        tombstone::find(&mut self.db, tenant, &(namespace.to_owned(), value.to_owned()))
    }

    /// What this node has made of the tenant's policies and rules, if that is still what they say. Asks for one row.
    pub fn book(&mut self, tenant: TenantId) -> Result<Option<Book>, Error> {
        let Some(known) = self.shared.books().get(&tenant) else { return Ok(None) };
        let clock = Clock::read(&mut self.db, tenant)?;
        Ok((known.seq == clock.book_seq && known.catalog == clock.catalog).then_some(known.book))
    }

    /// Number of the newest change of a policy, a rule or what they go by.
    pub fn book_seq(&mut self, tenant: TenantId) -> Result<Seq, Error> {
        Ok(Clock::read(&mut self.db, tenant)?.book_seq)
    }

    /// Fails when the database does not answer, or has no tables.
    pub(crate) fn ready(&mut self) -> Result<(), Error> {
        tenant::probe(&mut self.db)
    }

    /// Every tenant.
    pub fn tenants(&mut self) -> Result<Vec<Tenant>, Error> {
        tenant::all(&mut self.db)
    }

    /// A tenant by its short name.
    pub fn tenant_by_slug(&mut self, slug: &str) -> Result<Option<Tenant>, Error> {
        tenant::by_slug(&mut self.db, slug)
    }

    /// A tenant.
    pub fn tenant(&mut self, id: TenantId) -> Result<Option<Tenant>, Error> {
        tenant::by_id(&mut self.db, id)
    }

    /// Changes after `after`, in order; each link of the chain from `head` on is verified, and fails with
    /// [`Error::Corrupt`] where it does not hold.
    pub fn changes(
        &mut self,
        tenant: TenantId,
        after: Seq,
        head: Option<Vec<u8>>,
        limit: i64,
    ) -> Result<Vec<Stored>, Error> {
        change::read(&mut self.db, tenant, after, head, limit)
    }

    /// What a resource's document was before the change of that number; `None`: it was not there, or it is erased.
    pub fn image_before(&mut self, tenant: TenantId, resource: ResourceId, seq: Seq) -> Result<Option<String>, Error> {
        trace::image_before(&mut self.db, tenant, resource, seq)
    }

    /// Number and digest of the newest change.
    pub fn head(&mut self, tenant: TenantId) -> Result<(Seq, Vec<u8>), Error> {
        let clock = Clock::read(&mut self.db, tenant)?;
        Ok((clock.seq, clock.digest))
    }
}
