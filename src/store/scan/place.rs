//! Places in the order of an answer, and steps from one page of it to the next. A step depends on nothing but the place
//! where it begins, so that no transaction and no memory is kept between two pages.

use crate::ResourceId;

use super::Hit;

/// Where a resource stands in an order: its sort key, then its id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The sort key as an index holds it; `None` where the order is by id alone.
    pub key: Option<String>,
    /// The resource.
    pub id: ResourceId,
}

/// A gap between two resources of an answer, in the order in which it is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Before the first.
    Start,
    /// Just before the place, whether or not a resource still stands there.
    Before(Place),
    /// Just after the place, whether or not a resource still stands there.
    After(Place),
    /// After the last.
    End,
}

/// One step of a walk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where it begins.
    pub from: Cut,
    /// Towards the start of the order.
    pub backwards: bool,
    /// Most resources wanted; 0: only whether there is any.
    pub wanted: u64,
    /// Documents that may be tested.
    pub budget: u64,
}

/// What a step found.
#[derive(Clone, Debug)]
pub struct Stretch<H = Hit> {
    /// The resources, in the order of the answer in both directions.
    pub hits: Vec<H>,
    /// Their places, in the same order.
    pub places: Vec<Place>,
    /// Where the next step in the same direction begins; `None`: nothing is left.
    pub rest: Option<Cut>,
    /// How many resources match in all, where that is known for nothing.
    pub total: Option<u64>,
    /// Documents that were tested.
    pub tested: u64,
}

/// A step as an index sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Heading {
    /// From small keys to great ones.
    pub(super) up: bool,
    /// Where to begin, and whether the place itself belongs to it; `None`: at the end of the index.
    pub(super) bound: Option<(Place, bool)>,
}

impl Step {
    /// The step in terms of an index; `None`: nothing lies that way.
    pub(super) fn heading(&self, descending: bool) -> Option<Heading> {
        let bound = match (&self.from, self.backwards) {
            (Cut::Start, false) | (Cut::End, true) => None,
            (Cut::Start, true) | (Cut::End, false) => return None,
            (Cut::Before(place), backwards) => Some((place.clone(), !backwards)),
            (Cut::After(place), backwards) => Some((place.clone(), backwards)),
        };
        Some(Heading { up: self.backwards == descending, bound })
    }

    /// The gap behind the last place that was passed.
    pub(super) fn behind(&self, passed: Option<&Place>) -> Cut {
        match passed {
            None => self.from.clone(),
            Some(place) if self.backwards => Cut::Before(place.clone()),
            Some(place) => Cut::After(place.clone()),
        }
    }
}

impl Heading {
    /// Whether the place lies ahead.
    pub(super) fn is_ahead(&self, place: &Place) -> bool {
        match &self.bound {
            None => true,
            Some((bound, true)) if bound == place => true,
            Some((bound, _)) => (place > bound) == self.up && place != bound,
        }
    }
}
