//! `Work`: what a write sees and what it would change. Reads go to the overlay first and to the database after it;
//! nothing is written until the whole batch is flushed. A simulation is the same work, thrown away.
//!
//! Two layers lie over the database: what the operations before this one of the same batch have settled, and what the
//! open operation has done so far. A refused operation loses its layer and has drawn no number.

mod building;
mod change;
mod deferred;
mod erasure;
mod feed;
mod find;
mod flush;
mod forms;
mod guard;
mod having;
mod keyed;
mod layer;
mod provision;
mod queued;
mod read;
mod repair;
mod types;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::assemble::notes_first;
use crate::audit::Entry;
use crate::by::By;
use crate::catalog::Catalog;
use crate::change::{Change, Delta};
use crate::clock::Clock;
use crate::db::Db;
use crate::index::Indexes;
use crate::known::{Booked, Books};
use crate::membership::Membership;
use crate::nesting::Nesting;
use crate::secret::SealingKey;
use crate::{Credential, Error, Random, Record, ResourceId, SealKey, Seq, TenantId};
use crate::{dialect, seal, secret};

pub use building::Indexing;
pub use forms::Forming;
pub use guard::Found;
use having::Columns;
use layer::Layer;
pub use repair::Mending;

/// On whose behalf an operation runs, and when.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The client; [`ResourceId::SYSTEM`] for the server itself.
    pub actor: ResourceId,
    /// Why: `request`, `operator`, `due` …
    pub cause: &'static str,
    /// By what, beside the actor.
    pub by: By,
    /// µs since 1970, as the caller's clock says.
    pub now: i64,
    /// Source of the transaction's id and of salts.
    pub random: Random,
}

/// A resource as an operation wants it to be.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The resource.
    pub id: ResourceId,
    /// Its resource type.
    pub kind: String,
    /// What people call it.
    pub label: String,
    /// The canonical document without what is derived or secret.
    pub doc: Arc<Map<String, Value>>,
    /// Sealed values that never leave the server.
    pub secret: Option<Vec<u8>>,
    /// Members that come or go. Those that are there or gone already are passed over.
    pub members: Vec<Delta>,
    /// The caller's domain and the `externalId` it is to have there; `None` leaves it as it is.
    pub external: Option<(ResourceId, Option<String>)>,
}

/// A document, and the text that is stored of it.
type Foretold = (Arc<Map<String, Value>>, Arc<String>);

/// The overlay of one batch in one tenant.
pub struct Work<'d> {
    db: &'d mut Db,
    tenant: TenantId,
    catalog: Arc<Catalog>,
    indexes: Arc<Indexes>,
    clock: Clock,
    nesting: Option<Arc<Nesting>>,
    cached_nesting: Option<(Seq, Arc<Nesting>)>,
    /// Rows as the database has them, read under the lock.
    seen: HashMap<ResourceId, Option<Record>>,
    /// Their documents, by the version that they are of, as far as somebody needed them.
    read: HashMap<ResourceId, (i64, Arc<Map<String, Value>>)>,
    /// The text of a document that is about to be written, which was made before the lock.
    foretold: Option<Foretold>,
    /// Memberships as the database has them, by group and member, read under the lock; `None`: there is none.
    seen_members: HashMap<(ResourceId, ResourceId), Option<Membership>>,
    settled: Layer,
    /// What is settled, by the values that were asked about.
    columns: Columns,
    open: Layer,
    /// Clock and nesting as the operations before the open one left them.
    before: (Clock, Option<Arc<Nesting>>),
    origin: Origin,
    txn: Uuid,
    /// Bytes of documents that were settled so far.
    weight: usize,
    swept: bool,
    /// The number of the book when the batch began.
    began_book: Seq,
    /// What was made of the book as it stands now.
    memo: Option<Booked>,
    /// What the node remembers of the books of tenants, as they were committed.
    books: Books,
    /// Whether the counts in the clock were made anew.
    recounted: bool,
}

impl<'d> Work<'d> {
    pub(crate) fn new(
        db: &'d mut Db,
        tenant: TenantId,
        catalog: Arc<Catalog>,
        clock: Clock,
        cached_nesting: Option<(Seq, Arc<Nesting>)>,
        books: Books,
        origin: Origin,
    ) -> Self {
        Work {
            db,
            tenant,
            indexes: catalog.indexes.clone(),
            catalog,
            before: (clock.clone(), None),
            began_book: clock.book_seq,
            memo: None,
            books,
            clock,
            nesting: None,
            cached_nesting,
            seen: HashMap::new(),
            foretold: None,
            seen_members: HashMap::new(),
            read: HashMap::new(),
            settled: Layer::default(),
            columns: Columns::default(),
            open: Layer::default(),
            origin,
            txn: Uuid::nil(),
            weight: 0,
            swept: false,
            recounted: false,
        }
    }

    /// Begins an operation.
    pub(crate) fn begin(&mut self, origin: Origin) -> Result<(), Error> {
        self.txn = origin.random.uuid()?;
        self.origin = origin;
        Ok(())
    }

    /// Keeps what the open operation did.
    pub(crate) fn accept(&mut self) {
        self.weight += self.open.weight();
        self.columns.follow(&self.open);
        self.settled.absorb(std::mem::take(&mut self.open));
        // A discard that no operation began must not take back what was settled.
        self.before.0.follow(&self.clock);
        self.before.1 = self.nesting.clone();
    }

    /// Forgets what the open operation did.
    pub(crate) fn discard(&mut self) {
        self.open = Layer::default();
        (self.clock, self.nesting) = self.before.clone();
        // The number that it was worked out at is given again.
        self.memo = None;
    }

    /// Gives what the document of a stored version says, so that it is not read from its text once more. The caller has
    /// it from [`document_of`] that version.
    pub fn recall(&mut self, id: ResourceId, version: i64, document: &Arc<Map<String, Value>>) {
        self.read.insert(id, (version, document.clone()));
    }

    /// Gives the text of a document that is about to be written, from [`plain_text_of`], so that it is not made under the
    /// lock. It stands for this very document: one that is changed meanwhile is another, as this one is held here.
    pub fn foretell(&mut self, document: &Arc<Map<String, Value>>, text: &Arc<String>) {
        self.foretold = Some((document.clone(), text.clone()));
    }

    /// The document of a record of this work: as it was written, or as it was read.
    fn document(&mut self, record: &Record) -> Result<Arc<Map<String, Value>>, Error> {
        let written = self.open.documents.get(&record.id).or_else(|| self.settled.documents.get(&record.id));
        match written {
            Some(document) => Ok(document.clone()),
            None => self.stored_document(record),
        }
    }

    /// The document of a record as the database has it.
    fn stored_document(&mut self, record: &Record) -> Result<Arc<Map<String, Value>>, Error> {
        if let Some((version, document)) = self.read.get(&record.id)
            && *version == record.version
        {
            return Ok(document.clone());
        }
        let document = Arc::new(document_of(record)?);
        self.read.insert(record.id, (record.version, document.clone()));
        Ok(document)
    }

    /// Runs one of several operations of a simulation: what it does is kept when it succeeds and forgotten otherwise,
    /// and [`Work::changes`] begins anew with each. In a write every operation is a write of its own instead.
    pub fn rehearse<T, E>(&mut self, run: impl FnOnce(&mut Self) -> Result<T, E>) -> Result<T, E> {
        self.accept();
        let outcome = run(self);
        if outcome.is_err() {
            self.discard();
        }
        outcome
    }

    /// The changes of the open operation so far, in order.
    pub fn changes(&self) -> &[Change] {
        &self.open.changes
    }

    /// Writes a credential of a client.
    pub fn put_credential(&mut self, credential: Credential) {
        self.open.credentials.insert(credential.id, credential);
    }

    /// Remembers something that leaves no change. It is durable when the write is answered.
    pub fn audit(&mut self, entry: Entry) {
        self.open.audit.push(entry);
    }

    /// Notes when a credential was last used, in µs since 1970. It is no change of the client.
    pub fn touch_credential(&mut self, id: Uuid, at: i64) {
        self.open.used.insert(id, at);
    }

    /// Has a key that names no tenant (a certificate, an issuer, a host name) lead to this one, and to what of it. Fails with
    /// [`Error::Taken`] when it leads to another tenant.
    pub fn put_route(&mut self, key: &str, target: Option<ResourceId>) -> Result<(), Error> {
        if self.route(key)?.is_some_and(|route| route.tenant != self.tenant) {
            return Err(Error::Taken { path: key.to_owned() });
        }
        self.open.routes.insert(key.to_owned(), Some(target));
        Ok(())
    }

    /// Has a key of this tenant lead nowhere.
    pub fn remove_route(&mut self, key: &str) {
        self.open.routes.insert(key.to_owned(), None);
    }

    /// The tenant's key for a purpose; made now when it has none.
    pub fn seal_key(&mut self, purpose: &'static str) -> Result<SealKey, Error> {
        if let Some(key) = self.open.seal_keys.get(purpose).or_else(|| self.settled.seal_keys.get(purpose)) {
            return Ok(key.clone());
        }
        if let Some(key) = seal::find(self.db, self.tenant, purpose)? {
            return Ok(key);
        }
        let key = SealKey::make()?;
        self.open.seal_keys.insert(purpose, key.clone());
        Ok(key)
    }

    /// The moment of the open operation, µs since 1970, as its caller's clock says.
    pub fn now(&self) -> i64 {
        self.origin.now
    }

    /// The tenant's keys for secrets, as they are stored.
    pub fn sealing_keys(&mut self) -> Result<Vec<SealingKey>, Error> {
        let stored = secret::keys(self.db, self.tenant)?;
        let mut keys: BTreeMap<(String, i64), Option<SealingKey>> =
            stored.into_iter().map(|key| ((key.purpose.clone(), key.id), Some(key))).collect();
        for layer in [&self.settled, &self.open] {
            keys.extend(layer.sealing_keys.iter().map(|(of, key)| (of.clone(), key.clone())));
        }
        Ok(keys.into_values().flatten().collect())
    }

    /// Writes a key for secrets.
    pub fn put_sealing_key(&mut self, key: SealingKey) {
        self.open.sealing_keys.insert((key.purpose.clone(), key.id), Some(key));
    }

    /// Forgets a key for secrets. Whoever calls has seen that nothing is sealed under it.
    pub fn drop_sealing_key(&mut self, purpose: &str, id: i64) {
        self.open.sealing_keys.insert((purpose.to_owned(), id), None);
    }

    /// The database itself, for what leaves no change: clearing after a deleted group.
    pub(crate) fn database(&mut self) -> (&mut Db, TenantId) {
        self.swept = true;
        self.seen_members.clear();
        (self.db, self.tenant)
    }

    /// Whether the transaction still takes statements.
    pub(crate) fn is_sound(&mut self) -> bool {
        dialect::is_alive(self.db)
    }

    /// Whether the database was written to directly.
    pub(crate) fn swept(&self) -> bool {
        self.swept
    }
}

/// The document of a record.
pub fn document_of(record: &Record) -> Result<Map<String, Value>, Error> {
    let mut document = serde_json::from_str(&record.doc)
        .map_err(|error| Error::Corrupt(format!("document of {}: {error}", record.id)))?;
    secret::put_tokens(record.secret.as_deref(), &mut document)?;
    Ok(document)
}

/// The text that is stored of a document beside which no values are sealed.
pub fn plain_text_of(document: &Map<String, Value>) -> Result<Arc<String>, Error> {
    text_of(document, None, USUAL).map(Arc::new)
}

/// Bytes that the text of a new document has room for at first.
const USUAL: usize = 1_024;

/// The text that is stored of a document, which is expected to be so long.
fn text_of(doc: &Map<String, Value>, secret: Option<&[u8]>, length: usize) -> Result<String, Error> {
    let mut text = Vec::with_capacity(length);
    let mut write = |doc: &Map<String, Value>| serde_json::to_writer(&mut text, &*notes_first(doc));
    let written = if secret::has_values(secret) { write(&secret::without_tokens(secret, doc)?) } else { write(doc) };
    written.map_err(|error| Error::Corrupt(error.to_string()))?;
    String::from_utf8(text).map_err(|error| Error::Corrupt(error.to_string()))
}
