//! People whose data are protected (`protectedIdentity`): a view shows of them as much as of others (`include`), nothing at
//! all (`hide`), or what neither names nor finds them (`mask`, which is what holds where nothing is said). It goes by the
//! mark as it is now. Where users have no such mark, because the register has no people, nothing is asked.
//!
//! Of a masked user a list says what stays, and all else goes, what a tenant adds too: whether the account is in use, in
//! which state it is, its rights (groups, roles, entitlements), the client's own key, and the user name if it was made to
//! say nothing of its owner. An attribute that the view shows in another form is shown as its `neutral` template makes it.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use provisioning::person::{PROTECTED, URN, USER};
use scim::filter::{Checked, Filter};
use scim::schema::Definition;
use scim::view::View;

/// What is seen of a masked user, as far as the view shows it.
const STAYS: [&str; 7] = ["active", "userType", "externalId", "groups", "roles", "entitlements", "password"];
/// The same of the extension for people.
const STAYS_OF_PERSON: [&str; 3] = ["lifecycle", "accountDomain", PROTECTED];
const USER_NAME: &str = "userName";

/// What a view shows of people who are protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protected {
    /// What neither names nor finds them.
    #[default]
    Mask,
    /// Nothing.
    Hide,
    /// What it shows of everybody.
    Include,
}

impl Protected {
    /// What a view's document says; `None`: what there is no such word for.
    pub(super) fn parse(document: &Map<String, Value>) -> Option<Self> {
        match document.get("protected").and_then(Value::as_str) {
            None => Some(Protected::default()),
            Some(word) if word.eq_ignore_ascii_case("mask") => Some(Protected::Mask),
            Some(word) if word.eq_ignore_ascii_case("hide") => Some(Protected::Hide),
            Some(word) if word.eq_ignore_ascii_case("include") => Some(Protected::Include),
            Some(_) => None,
        }
    }

    /// What a view's document says. What cannot be understood hides.
    pub(super) fn of(document: &Map<String, Value>) -> Self {
        Protected::parse(document).unwrap_or(Protected::Hide)
    }

    /// Which resources of the type it hides; `None`: none for that.
    pub(super) fn filter(self, definition: &Definition) -> Option<Filter<Checked>> {
        let marked = marked(definition).filter(|_| self == Protected::Hide)?;
        Some(Filter::Not(Box::new(marked)))
    }

    /// Which users it does not hide, as the text of a filter; `None`: it hides none.
    pub(super) fn text(self, user: &Definition) -> Option<String> {
        marked(user).filter(|_| self == Protected::Hide).map(|_| format!("not ({})", mark()))
    }

    /// The filter, as text, of those that are shown the neutral form of what is mapped; `None`: none is.
    pub(super) fn neutral(self, kind: &str) -> Option<String> {
        (kind == USER && self == Protected::Mask).then(mark)
    }

    /// The view with what it shows of those who are masked.
    pub(super) fn mask(self, definition: &Definition, view: View) -> View {
        let Some(marked) = marked(definition).filter(|_| self == Protected::Mask) else { return view };
        let released = stays(definition, &view);
        let neutral =
            Filter::parse(&format!("{URN}:names.neutral eq true")).and_then(|filter| filter.check(definition));
        let Ok(neutral) = neutral.map(|neutral| [neutral.clone(), Filter::Not(Box::new(neutral))]) else {
            // People as they were installed before names said how they were made.
            return view.masking(definition, marked, released);
        };
        if !view.sees_all(USER_NAME) || view.maps(USER_NAME) {
            return view.masking(definition, marked, released);
        }
        let [neutral, telling] = neutral;
        let mut named = released.clone();
        named.insert(USER_NAME.to_owned());
        view.masking(definition, Filter::all([marked.clone(), telling]), released).masking(
            definition,
            Filter::all([marked, neutral]),
            named,
        )
    }
}

/// The filter of who is protected, as text.
fn mark() -> String {
    format!("{URN}:{PROTECTED} pr")
}

/// The same for users of the register; `None`: they have no such mark, or are none.
fn marked(definition: &Definition) -> Option<Filter<Checked>> {
    if definition.name() != USER {
        return None;
    }
    Filter::parse(&mark()).and_then(|filter| filter.check(definition)).ok()
}

/// Canonical paths of what a view shows of those who are masked.
fn stays(definition: &Definition, view: &View) -> BTreeSet<String> {
    let core = STAYS.iter().map(|name| (*name).to_owned());
    let person = STAYS_OF_PERSON.iter().map(|name| format!("{URN}:{name}"));
    let mut released = BTreeSet::new();
    for place in core.chain(person).filter_map(|path| definition.resolve(&path)) {
        let path = place.canonical();
        if view.sees_all(&path) {
            released.insert(path);
            continue;
        }
        let subs = place.attribute.iter().flat_map(|attribute| &attribute.sub_attributes);
        released.extend(subs.map(|sub| format!("{path}.{}", sub.name)).filter(|sub| view.sees_all(sub)));
    }
    released.extend(view.mappings().map(|mapping| mapping.path().to_owned()));
    released
}
