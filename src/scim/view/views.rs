//! What a client may see of every resource type: one [`View`] for each.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, OnceLock};

use super::{Reference, View};
use crate::filter::{Checked, Filter};
use crate::schema::{Definition, Registry};

static EVERYTHING: LazyLock<Arc<Views>> = LazyLock::new(|| Arc::new(Views::alike(View::everything())));

/// A client's views, by the name of the resource type.
#[derive(Clone, Debug)]
pub struct Views {
    of: BTreeMap<String, Arc<View>>,
    /// The view of every other type.
    rest: Arc<View>,
    /// The types as they are to who does not know what is hidden of them. Made when first asked for: who reads never does,
    /// and a thousand clients with a view each would have a thousand of each.
    narrowed: BTreeMap<String, OnceLock<Arc<Definition>>>,
    digest: u64,
}

impl Views {
    /// Everything of every type.
    pub fn everything() -> Arc<Self> {
        Arc::clone(&EVERYTHING)
    }

    /// These views, and `rest` of every other type. They are not whole before they are tied to a registry.
    pub fn new(of: impl IntoIterator<Item = (String, View)>, rest: View) -> Self {
        let of: BTreeMap<String, View> = of.into_iter().collect();
        let digest = if of.is_empty() && rest == View::everything() { 0 } else { fold(&format!("{of:?} {rest:?}")) };
        let of = of.into_iter().map(|(kind, view)| (kind, Arc::new(view))).collect();
        Views { of, rest: Arc::new(rest), narrowed: BTreeMap::new(), digest }
    }

    /// The same view of every type.
    pub fn alike(view: View) -> Self {
        Views::new([], view)
    }

    /// The same, knowing the resource types: which schemas they have, and what of them leads to others.
    pub fn tie(mut self, registry: &Registry) -> Self {
        for definition in registry.definitions() {
            let view = View::clone(self.of(definition.name())).of(definition);
            self.of.insert(definition.name().to_owned(), Arc::new(view));
        }
        for definition in registry.definitions() {
            let view = self.of(definition.name());
            let view = View::clone(view).referring(Reference::all_of(definition, registry, &self));
            if !view.is_whole() {
                self.narrowed.insert(definition.name().to_owned(), OnceLock::new());
            }
            self.of.insert(definition.name().to_owned(), Arc::new(view));
        }
        self
    }

    /// The same, but of one resource type no more than what fits a filter, too.
    #[must_use]
    pub fn within(&self, registry: &Registry, kind: &str, filter: &Filter<Checked>) -> Self {
        let mut of: BTreeMap<String, View> =
            self.of.iter().map(|(kind, view)| (kind.clone(), View::clone(view))).collect();
        let view = View::clone(self.of(kind)).within(filter.clone());
        of.insert(kind.to_owned(), view);
        Views::new(of, View::clone(&self.rest)).tie(registry)
    }

    /// The view of a resource type, by its name.
    pub fn of(&self, kind: &str) -> &Arc<View> {
        self.of.get(kind).unwrap_or(&self.rest)
    }

    /// The type as it is to who does not know what is hidden of it.
    pub fn narrow(&self, definition: &Arc<Definition>) -> Arc<Definition> {
        let view = self.of(definition.name());
        if view.is_whole() {
            return Arc::clone(definition);
        }
        let narrow = || Arc::new(definition.narrow(|path| view.sees_all(path)));
        match self.narrowed.get(definition.name()) {
            Some(narrowed) => Arc::clone(narrowed.get_or_init(narrow)),
            None => narrow(),
        }
    }

    /// Whether nothing is hidden of any type.
    pub fn are_everything(&self) -> bool {
        self.digest == 0
    }

    /// Tells views apart; 0 for everything.
    pub fn digest(&self) -> u64 {
        self.digest
    }
}

/// FNV-1a, and never 0.
fn fold(text: &str) -> u64 {
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, fold).max(1)
}
