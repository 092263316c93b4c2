//! What a node remembers of its tenants: their catalogs, how their groups are nested and what these are called. All of
//! it can be read again, each piece says which state it is of, and none is trusted without a look at the clock row.
//!
//! A node meets more tenants than it has memory for: what was not asked for longest goes. Only schemas and resource
//! types of a tenant's own stay for as long as somebody asks for them at all, since whoever has begun a request with them
//! must find them at its end.

use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use scim::schema::Registry;

use crate::bearing::{self, Unborne};
use crate::catalog::{self, Catalog};
use crate::db::Db;
use crate::ids::IdHash;
use crate::index::Indexes;
use crate::nesting::Nesting;
use crate::point::Names;
use crate::store::Shared;
use crate::{Error, Seq, TenantId};

/// Schemas and resource types of a tenant's own are forgotten when nobody has asked for them for so long.
const IDLE: Duration = Duration::from_secs(3_600);
/// Edges between groups that are remembered, of all tenants.
const EDGES: u64 = 1_000_000;
/// No tenant counts for more than this, so that a few of the largest have room.
const EDGES_OF_ONE: u32 = 250_000;
/// Names of groups that are remembered, of all tenants; then everybody's are forgotten.
const NAMES: u64 = 500_000;

/// What the directory has made of a tenant's policies and rules. The store only keeps it.
pub type Book = Arc<dyn Any + Send + Sync>;

/// A book and the state that it was made of.
#[derive(Clone)]
pub(crate) struct Booked {
    /// Number of the newest change of a policy, a rule or what they go by.
    pub(crate) seq: Seq,
    /// Version of the catalog.
    pub(crate) catalog: i64,
    pub(crate) book: Book,
}

/// The books of tenants as they were last committed.
pub(crate) type Books = Cache<TenantId, Booked>;

/// Of each tenant one thing.
type Remembered<V> = Cache<TenantId, V, IdHash>;

/// What is remembered, each tenant at one state.
pub(crate) struct Known {
    /// Catalogs without a document of the tenant's own: no more than which paths are indexed.
    plain: Remembered<Arc<Catalog>>,
    /// Catalogs with some.
    own: Remembered<Arc<Catalog>>,
    /// A tenant is in one of the two; held while it is put there.
    catalogs: Mutex<()>,
    nesting: Remembered<(Seq, Arc<Nesting>)>,
    books: Books,
    unborne: Unborne,
    names: Remembered<Arc<Names>>,
    /// How many names all of `names` hold.
    named: Arc<AtomicU64>,
}

impl Known {
    /// Nothing yet; of each kind at most so many tenants.
    pub(crate) fn new(tenants: u64) -> Self {
        Known {
            plain: Cache::builder()
                .max_capacity(tenants)
                .eviction_policy(EvictionPolicy::lru())
                .build_with_hasher(IdHash::default()),
            own: Cache::builder().time_to_idle(IDLE).build_with_hasher(IdHash::default()),
            catalogs: Mutex::new(()),
            nesting: Cache::builder()
                .max_capacity(EDGES)
                .weigher(move |_, (_, nesting): &(Seq, Arc<Nesting>)| weight(nesting, tenants))
                .eviction_policy(EvictionPolicy::lru())
                .build_with_hasher(IdHash::default()),
            unborne: bearing::unborne(tenants),
            books: Cache::builder().max_capacity(tenants).eviction_policy(EvictionPolicy::lru()).build(),
            names: Cache::builder()
                .max_capacity(tenants)
                .eviction_policy(EvictionPolicy::lru())
                .build_with_hasher(IdHash::default()),
            named: Arc::default(),
        }
    }

    fn keep(&self, tenant: TenantId, catalog: Arc<Catalog>) {
        let _alone = self.catalogs.lock().unwrap_or_else(PoisonError::into_inner);
        // An older snapshot may still be read; what is newer stays.
        if self.catalog(tenant).is_some_and(|known| known.version() >= catalog.version()) {
            return;
        }
        let (to, from) = if catalog.is_plain() { (&self.plain, &self.own) } else { (&self.own, &self.plain) };
        from.invalidate(&tenant);
        to.insert(tenant, catalog);
    }

    fn catalog(&self, tenant: TenantId) -> Option<Arc<Catalog>> {
        self.plain.get(&tenant).or_else(|| self.own.get(&tenant))
    }

    /// How many tenants are remembered in each way: plain catalogs, own ones, nesting, names.
    #[cfg(test)]
    fn count(&self) -> [u64; 4] {
        self.plain.run_pending_tasks();
        self.own.run_pending_tasks();
        self.nesting.run_pending_tasks();
        self.names.run_pending_tasks();
        [self.plain.entry_count(), self.own.entry_count(), self.nesting.entry_count(), self.names.entry_count()]
    }
}

/// What a tenant's nesting counts for: its edges, and no less than its share of all that may be remembered.
fn weight(nesting: &Nesting, tenants: u64) -> u32 {
    let share = u32::try_from(EDGES / tenants.max(4)).unwrap_or(EDGES_OF_ONE);
    u32::try_from(nesting.edges()).unwrap_or(EDGES_OF_ONE).clamp(share.max(1), EDGES_OF_ONE)
}

impl Shared {
    /// The indexes of a tenant as the transaction sees them.
    pub(crate) fn indexes(&self, db: &mut Db, tenant: TenantId) -> Result<Arc<Indexes>, Error> {
        let version = catalog::version(db, tenant)?;
        Ok(self.catalog(db, tenant, version)?.indexes.clone())
    }

    /// The catalog of a tenant at the version that the transaction sees, read once for each.
    pub(crate) fn catalog(&self, db: &mut Db, tenant: TenantId, version: i64) -> Result<Arc<Catalog>, Error> {
        if let Some(known) = self.cached_catalog(tenant)
            && known.version() == version
        {
            return Ok(known);
        }
        let catalog = Arc::new(Catalog::load(db, tenant, version, &self.registry)?);
        // No index at all: no such tenant yet. Its writer must not find this when it comes to be.
        if !catalog.indexes.is_empty() {
            self.known.keep(tenant, catalog.clone());
        }
        Ok(catalog)
    }

    pub(crate) fn cached_catalog(&self, tenant: TenantId) -> Option<Arc<Catalog>> {
        self.known.catalog(tenant)
    }

    /// What is known of a tenant's resource types without asking; the built-in ones when that is nothing.
    pub(crate) fn registry_of(&self, tenant: TenantId) -> Arc<Registry> {
        self.cached_catalog(tenant).map_or_else(|| self.registry.clone(), |catalog| catalog.registry().clone())
    }

    /// What this node remembers of the books of tenants.
    pub(crate) fn books(&self) -> Books {
        self.known.books.clone()
    }

    /// Which tenants have nobody who bears a mark.
    pub(crate) fn unborne(&self) -> &Unborne {
        &self.known.unborne
    }

    pub(crate) fn cached_nesting(&self, tenant: TenantId) -> Option<(Seq, Arc<Nesting>)> {
        self.known.nesting.get(&tenant)
    }

    pub(crate) fn keep_nesting(&self, tenant: TenantId, seq: Seq, nesting: Arc<Nesting>) {
        self.known.nesting.entry(tenant).and_upsert_with(|known| match known.map(moka::Entry::into_value) {
            Some((old, known)) if old >= seq => (old, known),
            _ => (seq, nesting),
        });
    }

    /// What is known of the names of groups as of a change of nesting.
    pub(crate) fn names(&self, tenant: TenantId, seq: Seq) -> Arc<Names> {
        let all = &self.known.names;
        if let Some(known) = all.get(&tenant).filter(|known| known.seq == seq) {
            return known;
        }
        if self.known.named.load(Ordering::Relaxed) > NAMES {
            all.invalidate_all();
            all.run_pending_tasks();
        }
        let names = Arc::new(Names::at(seq, self.known.named.clone()));
        // An older state may still be read; nobody else will ask for it.
        let kept = all.entry(tenant).and_upsert_with(|known| match known.map(moka::Entry::into_value) {
            Some(known) if known.seq >= seq => known,
            _ => names.clone(),
        });
        let kept = kept.into_value();
        if kept.seq == seq { kept } else { names }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ResourceId;
    use crate::queue::Queue;
    use crate::scan::arrangement::Arrangements;
    use crate::scan::total::Totals;

    fn shared(tenants: u64) -> Shared {
        Shared {
            registry: Arc::new(Registry::builtin().expect("the schemas")),
            queue: Arc::new(Queue::new(1)),
            losses: Default::default(),
            log: Default::default(),
            meter: Default::default(),
            totals: Totals::new(1),
            arrangements: Arrangements::new(1),
            known: Known::new(tenants),
        }
    }

    fn id(n: u128) -> ResourceId {
        ResourceId(uuid::Uuid::from_u128(n))
    }

    #[test]
    fn no_more_tenants_are_remembered_than_there_is_room_for() {
        let shared = shared(10);
        for tenant in 1..=1_000 {
            shared.keep_nesting(TenantId(tenant), 1, Arc::default());
            shared.names(TenantId(tenant), 1);
        }
        let [_, _, nesting, names] = shared.known.count();
        assert!(nesting <= 10 && names <= 10, "{nesting} {names}");
        assert!(shared.cached_nesting(TenantId(1_000)).is_some(), "the last one is there");
        assert!(shared.cached_nesting(TenantId(1)).is_none(), "the first one is not");
    }

    #[test]
    fn what_is_newer_stays() {
        let shared = shared(10);
        let tenant = TenantId(1);
        for seq in [3, 2] {
            shared.keep_nesting(tenant, seq, Arc::default());
            assert_eq!(shared.names(tenant, seq).seq, seq);
        }
        assert_eq!(shared.cached_nesting(tenant).map(|(seq, _)| seq), Some(3));
        assert_eq!(shared.known.names.get(&tenant).map(|names| names.seq), Some(3));
    }

    #[test]
    fn the_largest_tenant_is_remembered_too() {
        let shared = shared(10);
        let mut nesting = Nesting::default();
        for n in 0..300_000 {
            nesting.link(id(n / 2), id(n + 1), "");
        }
        for tenant in 1..=5 {
            shared.keep_nesting(TenantId(tenant), 1, Arc::new(nesting.clone()));
        }
        let [_, _, kept, _] = shared.known.count();
        assert_eq!(kept, 4);
        assert!(shared.cached_nesting(TenantId(5)).is_some());
    }

    #[test]
    fn the_names_of_all_tenants_together_are_bounded() {
        let shared = shared(10);
        for tenant in 1..=5 {
            let groups: Vec<_> = (0..200_000).map(id).collect();
            shared.names(TenantId(tenant), 1).learn(&groups, Default::default());
        }
        shared.known.count();
        let named = shared.known.named.load(Ordering::Relaxed);
        assert!((200_000..=NAMES + 200_000).contains(&named), "{named} names are held");
    }
}
