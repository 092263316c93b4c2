//! What a client may see of every resource type: one [`View`] for each.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use super::View;

static EVERYTHING: LazyLock<Arc<Views>> = LazyLock::new(|| Arc::new(Views::alike(View::everything())));

/// A client's views, by the name of the resource type.
#[derive(Clone, Debug)]
pub struct Views {
    of: BTreeMap<String, Arc<View>>,
    /// The view of every other type.
    rest: Arc<View>,
    digest: u64,
}

impl Views {
    /// Everything of every type.
    pub fn everything() -> Arc<Self> {
        Arc::clone(&EVERYTHING)
    }

    /// These views, and `rest` of every other type.
    pub fn new(of: impl IntoIterator<Item = (String, View)>, rest: View) -> Self {
        let of: BTreeMap<String, View> = of.into_iter().collect();
        let digest = if of.is_empty() && rest == View::everything() { 0 } else { fold(&format!("{of:?} {rest:?}")) };
        Views { of: of.into_iter().map(|(kind, view)| (kind, Arc::new(view))).collect(), rest: Arc::new(rest), digest }
    }

    /// The same view of every type.
    pub fn alike(view: View) -> Self {
        Views::new([], view)
    }

    /// The view of a resource type, by its name.
    pub fn of(&self, kind: &str) -> &Arc<View> {
        self.of.get(kind).unwrap_or(&self.rest)
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
