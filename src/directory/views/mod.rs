//! Views as resources (`/Views`): a document says which resource types a client sees, which resources of them, and what
//! of those. Here such a document becomes what the rest of the directory works with.
//!
//! A document is checked when it is saved, see `check`. The schemas may change after that: a filter that no longer fits
//! shows nothing of its type, a path that leads nowhere releases nothing, and what is new is hidden where paths are
//! released one by one. What can no longer be understood hides, and never shows.

mod check;
mod forms;
mod leaving;
mod preview;
mod protect;
mod usage;
mod veil;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};

use provisioning::person::USER;
use scim::filter::{Checked, Filter};
use scim::mapping::Mapping;
use scim::schema::{Definition, Registry};
use scim::view::{View, Views};
use store::work::document_of;
use store::{GROUP_MEMBERSHIP, ResourceId, TenantId, Work};

use super::clients::CLIENT;
use super::particular::{Follow, Write};
use super::{Directory, Error};

pub(super) use check::check;
pub(super) use leaving::{Leaving, next as next_leaving, note, note_in_shared, spread};
pub use preview::{Preview, Previewed};
pub use protect::Protected;
pub(super) use usage::refuse_missing;
pub use veil::Veil;

/// The resource type of views.
pub const VIEW: &str = "View";

/// What of a register is no one's view to show: who may touch these is asked of the client's role. Memberships are seen
/// as their ends are.
const EXEMPT: [&str; 3] = [CLIENT, VIEW, GROUP_MEMBERSHIP];

/// What a client sees, as its view is written and as that applies to the resource types of the moment.
#[derive(Debug)]
pub struct Outlook {
    written: Written,
    /// The views at one revision of the tenant's own schemas.
    tied: Mutex<Option<(i64, Veil, Arc<Views>)>>,
}

#[derive(Debug)]
enum Written {
    /// No view: everything.
    Nowhere,
    /// The view and its document.
    Here(ResourceId, Map<String, Value>),
    /// A view that is not there: nothing.
    Gone,
}

impl Outlook {
    /// Everything.
    pub fn everything() -> Arc<Self> {
        Outlook::of(Written::Nowhere)
    }

    /// Nothing but what every client has.
    pub fn nothing() -> Arc<Self> {
        Outlook::of(Written::Gone)
    }

    /// What a view's document says.
    pub fn through(view: ResourceId, document: Map<String, Value>) -> Arc<Self> {
        Outlook::of(Written::Here(view, document))
    }

    fn of(written: Written) -> Arc<Self> {
        Arc::new(Outlook { written, tied: Mutex::default() })
    }

    /// What is seen of each resource type of the registry, and of accounts behind a veil. Worked out once for each revision
    /// of it.
    pub fn views(&self, registry: &Registry, veil: Veil) -> Arc<Views> {
        if let (Written::Nowhere, Veil::None) = (&self.written, veil) {
            return Views::everything();
        }
        let mut tied = self.tied.lock().unwrap_or_else(PoisonError::into_inner);
        match &*tied {
            Some((revision, behind, views)) if *revision == registry.revision() && *behind == veil => Arc::clone(views),
            _ => {
                let views = Arc::new(self.written.views(registry, veil));
                *tied = Some((registry.revision(), veil, Arc::clone(&views)));
                views
            }
        }
    }
}

impl Written {
    fn views(&self, registry: &Registry, veil: Veil) -> Views {
        let shown: Vec<(String, View)> = match self {
            Written::Nowhere => {
                let user = registry.definition(USER).and_then(|user| veil.filter(user, None));
                let user = user.map(|filter| (USER.to_owned(), View::new(Some(filter), None)));
                return match user {
                    Some(user) => Views::new([user], View::everything()).tie(registry),
                    None => Views::alike(View::everything()),
                };
            }
            Written::Gone => Vec::new(),
            Written::Here(view, document) => rules(document, *view)
                .filter_map(|rule| {
                    let definition = registry.definition(rule.kind)?;
                    Some((rule.kind.to_owned(), rule.view(definition, veil)))
                })
                .collect(),
        };
        let exempt = EXEMPT.iter().map(|kind| ((*kind).to_owned(), View::everything()));
        Views::new(shown.into_iter().chain(exempt), View::nothing()).tie(registry)
    }
}

/// What a view says of one resource type.
struct Rule<'v> {
    kind: &'v str,
    filter: Option<&'v str>,
    /// `None`: all are.
    released: Option<Vec<&'v str>>,
    /// What is shown in another form: paths and templates.
    forms: Vec<Form<'v>>,
    /// What is seen of people who are protected.
    protected: Protected,
    /// What is seen of users that have left; `None`: nothing.
    left: Option<leaving::Left<'v>>,
}

/// An attribute that is shown in another form.
struct Form<'v> {
    /// Where it stands among the mappings.
    place: usize,
    path: &'v str,
    template: &'v str,
    /// What protected people have there instead.
    neutral: Option<&'v str>,
}

impl Rule<'_> {
    /// A form as the type makes it.
    fn mapping(&self, form: &Form<'_>, definition: &Definition) -> Result<Mapping, String> {
        let mapping = Mapping::new(definition, form.path, form.template, self.filter)?;
        let mapping = match &self.left {
            Some(left) => mapping.staying(&left.view())?,
            None => mapping,
        };
        match self.masking().neutral(self.kind) {
            Some(who) => mapping.unless(definition, &who, form.neutral),
            None => Ok(mapping),
        }
    }

    /// What is seen of people who are protected, as far as they are seen: of who has left no more than a mask shows.
    fn masking(&self) -> Protected {
        match (self.protected, &self.left) {
            (Protected::Hide, Some(_)) => Protected::Mask,
            (protected, _) => protected,
        }
    }

    /// Which resources are seen as all are; `None`: every one. Fails where the filter does not fit the type any more.
    fn shown(&self, definition: &Definition) -> Result<Option<Filter<Checked>>, scim::Error> {
        let own = self.filter.map(|text| filter(text, definition)).transpose()?;
        Ok(all([own, self.protected.filter(definition)]))
    }

    fn view(&self, definition: &Definition, veil: Veil) -> View {
        let Ok(shown) = self.shown(definition) else { return View::nothing() };
        let veil = if self.kind == USER { veil.filter(definition, shown.as_ref()) } else { None };
        let (seen, left) = match (shown, &self.left) {
            (Some(shown), Some(left)) => {
                let (stays, outside) = (left.filter(definition), Filter::Not(Box::new(shown.clone())));
                (Some(Filter::any([shown, stays.clone()])), Some(Filter::all([outside, stays])))
            }
            (shown, _) => (shown, None),
        };
        let filter = all([seen, veil]);
        let canonical = |paths: &Vec<&str>| -> BTreeSet<String> {
            paths.iter().filter_map(|path| definition.resolve(path)).map(|place| place.canonical()).collect()
        };
        let forms: Result<Vec<Mapping>, String> =
            self.forms.iter().map(|form| self.mapping(form, definition)).collect();
        // What cannot be brought into its form any more is not shown as it is.
        let Ok(forms) = forms else { return View::nothing() };
        let view = View::new(filter, self.released.as_ref().map(canonical)).mapping(forms);
        let view = self.masking().mask(definition, view);
        match left {
            Some(left) => view.leaving(definition, left),
            None => view,
        }
    }
}

/// All of these that there are; `None`: no condition.
fn all(parts: [Option<Filter<Checked>>; 2]) -> Option<Filter<Checked>> {
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| Filter::all(parts))
}

fn rules(document: &Map<String, Value>, view: ResourceId) -> impl Iterator<Item = Rule<'_>> {
    let rules = document.get("types").and_then(Value::as_array).into_iter().flatten();
    let protected = Protected::of(document);
    rules.filter_map(move |rule| {
        let text = |name: &str| rule.get(name).and_then(Value::as_str);
        let released = rule.get("attributes").and_then(Value::as_array);
        let released = released.map(|paths| paths.iter().filter_map(Value::as_str).collect());
        let kind = text("type")?;
        let forms = mappings(document).filter(|(of, _)| *of == kind).map(|(_, form)| form).collect();
        let left = leaving::Left::of(view, document).filter(|_| kind == USER);
        Some(Rule { kind, filter: text("filter"), released, forms, protected, left })
    })
}

/// What is mapped, by the resource type.
fn mappings(document: &Map<String, Value>) -> impl Iterator<Item = (&str, Form<'_>)> {
    let mappings = document.get("mappings").and_then(Value::as_array).into_iter().flatten();
    mappings.enumerate().filter_map(|(place, mapping)| {
        let text = |name: &str| mapping.get(name).and_then(Value::as_str);
        let (path, template, neutral) = (text("path")?, text("template")?, text("neutral"));
        Some((text("type")?, Form { place, path, template, neutral }))
    })
}

fn filter(text: &str, definition: &Definition) -> Result<Filter<Checked>, scim::Error> {
    Filter::parse(text)?.check(definition)
}

/// Sees to a view that is written or removed: one that a client uses stays, and the forms that it shows are indexed.
pub(super) fn attend(
    write: &Write<'_>,
    after: Option<&mut Map<String, Value>>,
    work: &mut Work<'_>,
) -> Result<Option<Follow>, Error> {
    if after.is_none() {
        usage::refuse_use(write.id, work)?;
    }
    forms::lay_forms(work, write.id, after.as_deref())?;
    leaving::attend(write, after, work)
}

impl Directory {
    /// What a client sees whose document names this view; without a name, everything.
    pub(super) async fn outlook(&self, tenant: TenantId, view: Option<&str>) -> Result<Arc<Outlook>, Error> {
        let Some(view) = view else { return Ok(Outlook::everything()) };
        let Ok(id) = view.parse::<ResourceId>() else { return Ok(Outlook::nothing()) };
        let record = self.store.read(move |reader| reader.record(tenant, id)).await?;
        Ok(match record.filter(|record| record.kind == VIEW) {
            Some(record) => Outlook::through(id, document_of(&record)?),
            None => Outlook::nothing(),
        })
    }
}

#[cfg(test)]
mod tests;
