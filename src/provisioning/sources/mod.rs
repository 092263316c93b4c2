//! Values that several sources speak of. What each has said is kept, and the document shows that of the source whose word
//! counts most of those that say something; when it withdraws its word, the next one's shows. A correction that somebody has
//! pinned shows until its day. [`site`] is where values lie, [`authority`] who may speak of them; here is whose value counts,
//! and what a client has said with a write. Pure: from what was said to what shows, whatever the order in which it came.

pub mod authority;
pub mod site;

use scim::authority::Absence;
use serde_json::Value;

pub use authority::Authority;
pub use site::Site;

/// The extension in which it is kept what sources have said and what is pinned.
pub const URN: &str = "urn:matrikel:scim:schemas:1.0:Sources";

/// What shows of what several sources say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Combine {
    /// All that the highest says that says something.
    #[default]
    Highest,
    /// What each says, each value once.
    All,
}

/// What one source says of one place.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// The client.
    pub source: String,
    /// The values; never empty.
    pub values: Vec<Value>,
    /// Since when it says so, as it is written.
    pub since: String,
}

/// What shows of what is said: the values, of the sources in their order. Sources that are not in the order have no word.
pub fn choose(site: &Site, said: &[Statement], order: &[String], combine: Combine) -> Vec<Value> {
    let of = |source: &String| said.iter().find(|one| one.source == *source).map(|one| one.values.as_slice());
    let in_order = order.iter().filter_map(of).filter(|values| !values.is_empty());
    match combine {
        Combine::Highest => in_order.take(1).flatten().cloned().collect(),
        Combine::All => in_order.flatten().fold(Vec::new(), |mut all, value| {
            if !site.has(&all, value) {
                all.push(value.clone());
            }
            all
        }),
    }
}

/// What a client has written at a place, and how.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'w> {
    /// What showed there.
    pub shown: &'w [Value],
    /// What it would have there.
    pub wanted: &'w [Value],
    /// What it means that a value is not among them.
    pub absence: Absence,
    /// Whether it speaks of this place by name: then what shows already is said as well. Otherwise what comes back as it was
    /// read says nothing.
    pub is_named: bool,
}

/// What becomes of a wish.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// Nothing was said.
    Nothing,
    /// The client says this now; nothing: it withdraws what it said.
    Says(Vec<Value>),
    /// It would change what is not its own.
    Outside,
}

/// What a client says that may speak of a place. `own` is what it said so far.
pub fn hear(site: &Site, own: &[Value], wish: Wish<'_>) -> Heard {
    let Wish { shown, wanted, absence, is_named } = wish;
    let says: Vec<Value> = if site.is_same(shown, wanted) {
        if !is_named {
            return Heard::Nothing;
        }
        wanted.to_vec()
    } else {
        // What shows and is another's is not said again by coming back.
        let is_others = |value: &Value| site.has(shown, value) && !site.has(own, value);
        wanted.iter().filter(|value| !is_others(value)).cloned().collect()
    };
    let says: Vec<Value> = says.into_iter().map(|value| site.sayable(value)).collect();
    if !site.is_same(&says, own) {
        return Heard::Says(says);
    }
    // It takes away what is another's, and does not put in its place what it has said before.
    let takes = shown.iter().any(|value| !site.has(wanted, value));
    let brings = wanted.iter().any(|value| !site.has(shown, value));
    if takes && !brings && absence == Absence::Removal { Heard::Outside } else { Heard::Nothing }
}

/// What is heard of a client that may not speak of a place.
pub fn overhear(site: &Site, wish: Wish<'_>) -> Heard {
    let brings = wish.wanted.iter().any(|value| !site.has(wish.shown, value));
    let takes = wish.shown.iter().any(|value| !site.has(wish.wanted, value));
    if brings || (takes && wish.absence == Absence::Removal) { Heard::Outside } else { Heard::Nothing }
}

#[cfg(test)]
mod tests;
