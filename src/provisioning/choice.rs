//! Which account of a human being a cloud gets. A policy says in which order accounts are preferred, or a person has chosen by
//! hand and until a day; of one person at most one is chosen for a cloud. The one before goes on for a while when the choice
//! becomes another. Pure: from the documents of all accounts of one person, what was said by hand, and the moment.

use scim::filter::{Checked, Filter};
use scim::key;
use serde_json::{Map, Value, json};

use crate::calendar::{Calendar, instant, plus};
use crate::lifecycle::State;
use crate::person::URN;

/// What an account says of clouds, in the Person extension.
pub const CLOUDS: &str = "clouds";

/// A cloud, and which accounts it is to get.
#[derive(Clone, Debug)]
pub struct Cloud {
    /// What it is called.
    pub name: String,
    /// Which accounts are preferred, the best first; one that fits none does not come into question. Without any, all do.
    pub prefer: Vec<Filter<Checked>>,
    /// Days for which the account before goes on.
    pub keep_days: i64,
    /// Whether all that are equally good are exported until somebody chooses.
    pub both: bool,
}

/// What an account is to a cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    /// It is the one.
    Chosen,
    /// It was, and goes on for a while.
    Kept,
    /// It is one of several between which nobody has chosen yet.
    Undecided,
}

impl Held {
    fn as_str(self) -> &'static str {
        match self {
            Held::Chosen => "chosen",
            Held::Kept => "kept",
            Held::Undecided => "undecided",
        }
    }
}

/// What somebody has said by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// For which cloud.
    pub cloud: String,
    /// Which account.
    pub account: String,
    /// Until when, µs since 1970; `None`: until somebody says otherwise.
    pub until: Option<i64>,
}

/// An account of the person.
#[derive(Clone, Copy, Debug)]
pub struct Account<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its document.
    pub document: &'a Map<String, Value>,
}

/// What comes of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    /// What each account, in the order given, says of clouds from now on; none: nothing.
    pub accounts: Vec<Vec<Value>>,
    /// When that changes next by itself, µs since 1970.
    pub next: Option<i64>,
    /// Clouds between whose accounts somebody has to choose.
    pub undecided: Vec<String>,
}

impl Account<'_> {
    /// How well its state suits: it works; it is prepared; it is over. `None`: it has no name yet.
    fn tier(&self) -> Option<u8> {
        let state = self.document.get(URN).and_then(|person| person.get("lifecycle")?.get("state")?.as_str());
        match state.and_then(State::parse) {
            None | Some(State::Active | State::Ending | State::Suspended) => Some(0),
            Some(State::Staged) => Some(1),
            Some(State::Disabled | State::Limbo | State::Purged) => Some(2),
            Some(State::Planned) => None,
        }
    }

    /// What the policy thinks of it: less is better.
    fn rank(&self, cloud: &Cloud) -> Option<(u8, usize)> {
        let tier = self.tier()?;
        let place = match cloud.prefer.as_slice() {
            [] => 0,
            prefer => prefer.iter().position(|filter| filter.matches(self.document))?,
        };
        Some((tier, place))
    }

    /// What it says of a cloud so far.
    fn held(&self, cloud: &str) -> Option<&Value> {
        let all = self.document.get(URN).and_then(|person| person.get(CLOUDS)?.as_array());
        all.into_iter().flatten().find(|entry| entry.get("name").and_then(Value::as_str) == Some(cloud))
    }
}

/// Decides for all clouds which account of a person they get.
pub fn decide(clouds: &[(Cloud, Calendar)], accounts: &[Account<'_>], pins: &[Pin], now: i64) -> Told {
    let mut told = Told { accounts: vec![Vec::new(); accounts.len()], ..Told::default() };
    for (cloud, calendar) in clouds {
        let pin = pins.iter().find(|pin| pin.cloud == cloud.name && pin.until.is_none_or(|until| now < until));
        let by_hand = pin.and_then(|pin| {
            told.next = told.next.into_iter().chain(pin.until).min();
            accounts.iter().position(|account| account.id == pin.account && account.tier().is_some_and(|tier| tier < 2))
        });
        let ranks: Vec<Option<(u8, usize)>> = accounts.iter().map(|account| account.rank(cloud)).collect();
        let best = ranks.iter().flatten().min().copied();
        let equal: Vec<usize> =
            ranks.iter().enumerate().filter(|(_, rank)| rank.is_some() && **rank == best).map(|(n, _)| n).collect();
        let nobody: &[usize] = &[];
        let (chosen, undecided) = match (by_hand, equal.as_slice()) {
            (Some(one), _) => (Some(one), nobody),
            (None, [one]) => (Some(*one), nobody),
            (None, several) => (None, several),
        };
        if !undecided.is_empty() {
            told.undecided.push(cloud.name.clone());
        }
        for (n, account) in accounts.iter().enumerate() {
            let held = account.held(&cloud.name);
            let entry = if chosen == Some(n) {
                let by = if by_hand.is_some() { "hand" } else { "policy" };
                Some(entry(cloud, held, Held::Chosen, (Some(by), None), now))
            } else if undecided.contains(&n) && cloud.both {
                Some(entry(cloud, held, Held::Undecided, (None, None), now))
            } else {
                kept_until(cloud, calendar, held, now).map(|until| {
                    told.next = told.next.into_iter().chain([until]).min();
                    entry(cloud, held, Held::Kept, (None, Some(until)), now)
                })
            };
            if let Some(list) = told.accounts.get_mut(n) {
                list.extend(entry);
            }
        }
    }
    told
}

/// Until when an account goes on that is not chosen (any more), µs since 1970.
fn kept_until(cloud: &Cloud, calendar: &Calendar, held: Option<&Value>, now: i64) -> Option<i64> {
    let held = held?;
    let until = match held.get("until").and_then(Value::as_str) {
        Some(until) => key::instant(until)?,
        None => calendar.start_of(plus(calendar.day_of(now), cloud.keep_days)),
    };
    (until > now).then_some(until)
}

fn entry(cloud: &Cloud, was: Option<&Value>, held: Held, (by, until): (Option<&str>, Option<i64>), now: i64) -> Value {
    let is_same = was.is_some_and(|was| {
        was.get("state").and_then(Value::as_str) == Some(held.as_str()) && was.get("by").and_then(Value::as_str) == by
    });
    let since = was.filter(|_| is_same).and_then(|was| was.get("since")?.as_str()).map(str::to_owned);
    let mut entry = json!({ "name": cloud.name, "state": held.as_str(), "since": since.or_else(|| instant(now)) });
    let Some(members) = entry.as_object_mut() else { return entry };
    members.extend(by.map(|by| ("by".to_owned(), by.into())));
    members.extend(until.and_then(instant).map(|until| ("until".to_owned(), until.into())));
    entry
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: i64 = 86_400_000_000;
    /// 00:00 of a day.
    const NOW: i64 = 20_000 * DAY;

    fn document(state: &str, clouds: &[Value]) -> Map<String, Value> {
        let mut person = json!({ "lifecycle": { "state": state } });
        if !clouds.is_empty() {
            person[CLOUDS] = json!(clouds);
        }
        json!({ URN: person }).as_object().cloned().expect("an object")
    }

    fn cloud(both: bool) -> (Cloud, Calendar) {
        (Cloud { name: "m365".into(), prefer: Vec::new(), keep_days: 10, both }, Calendar::UTC)
    }

    fn tell(both: bool, documents: &[Map<String, Value>], pins: &[Pin], now: i64) -> Told {
        let ids: Vec<String> = (0..documents.len()).map(|n| n.to_string()).collect();
        let accounts: Vec<Account<'_>> =
            documents.iter().zip(&ids).map(|(document, id)| Account { id, document }).collect();
        decide(&[cloud(both)], &accounts, pins, now)
    }

    fn states(told: &Told) -> Vec<&str> {
        told.accounts.iter().map(|list| list.first().map_or("-", |one| one["state"].as_str().unwrap_or("?"))).collect()
    }

    fn pin(account: &str, until: Option<i64>) -> Pin {
        Pin { cloud: "m365".into(), account: account.into(), until }
    }

    #[test]
    fn the_account_that_works_is_chosen_and_between_equals_somebody_chooses() {
        let table: [(&[&str], bool, &[&str], usize); 9] = [
            (&["active"], false, &["chosen"], 0),
            (&["planned"], false, &["-"], 0),
            (&["disabled"], false, &["chosen"], 0),
            (&["active", "staged"], false, &["chosen", "-"], 0),
            (&["disabled", "staged"], false, &["-", "chosen"], 0),
            (&["planned", "limbo"], false, &["-", "chosen"], 0),
            (&["active", "suspended"], false, &["-", "-"], 1),
            (&["active", "ending"], true, &["undecided", "undecided"], 1),
            (&["active", "active", "disabled"], true, &["undecided", "undecided", "-"], 1),
        ];
        for (accounts, both, expected, undecided) in table {
            let documents: Vec<_> = accounts.iter().map(|state| document(state, &[])).collect();
            let told = tell(both, &documents, &[], NOW);
            assert_eq!((states(&told), told.undecided.len()), (expected.to_vec(), undecided), "{accounts:?}");
        }
    }

    #[test]
    fn what_is_chosen_by_hand_holds_until_its_day_and_for_an_account_that_works() {
        let documents = [document("active", &[]), document("active", &[])];
        let told = tell(true, &documents, &[pin("1", Some(NOW + 1))], NOW);
        assert_eq!((states(&told), told.next), (vec!["-", "chosen"], Some(NOW + 1)));
        assert_eq!(told.accounts[1][0]["by"], "hand");
        assert_eq!(states(&tell(true, &documents, &[pin("1", Some(NOW))], NOW)), ["undecided", "undecided"]);
        assert_eq!(states(&tell(true, &documents, &[pin("7", None)], NOW)), ["undecided", "undecided"]);
        let over = [document("active", &[]), document("disabled", &[])];
        assert_eq!(states(&tell(true, &over, &[pin("1", None)], NOW)), ["chosen", "-"]);
    }

    #[test]
    fn the_account_before_goes_on_for_its_days_and_no_longer() {
        let first = tell(false, &[document("active", &[]), document("staged", &[])], &[], NOW);
        let documents = |told: &Told, states: [&str; 2]| {
            [document(states[0], &told.accounts[0]), document(states[1], &told.accounts[1])]
        };
        let told = tell(false, &documents(&first, ["disabled", "active"]), &[], NOW + DAY);
        assert_eq!((states(&told), told.next), (vec!["kept", "chosen"], Some(NOW + 11 * DAY)));
        // Looked at again it is the same, and its day does not move.
        let again = tell(false, &documents(&told, ["disabled", "active"]), &[], NOW + 2 * DAY);
        assert_eq!(again, told);
        let back = tell(false, &documents(&told, ["active", "disabled"]), &[], NOW + 2 * DAY);
        assert_eq!((states(&back), back.next), (vec!["chosen", "kept"], Some(NOW + 12 * DAY)));
        let over = tell(false, &documents(&told, ["disabled", "active"]), &[], NOW + 11 * DAY);
        assert_eq!((states(&over), over.next), (vec!["-", "chosen"], None));
    }

    proptest! {
        #[test]
        fn at_most_one_is_chosen_and_telling_twice_is_telling_once(
            accounts in prop::collection::vec((0_usize..6, 0_usize..4), 0..5),
            pinned in prop::option::of((0_usize..6, -5_i64..5)),
            both in any::<bool>(),
        ) {
            let names = ["planned", "staged", "active", "suspended", "disabled", "limbo"];
            let held = |n: usize| match n {
                1 => vec![json!({ "name": "m365", "state": "chosen", "since": "2020-01-01T00:00:00Z", "by": "policy" })],
                2 => vec![json!({ "name": "m365", "state": "kept", "until": "2024-10-05T00:00:00Z" })],
                3 => vec![json!({ "name": "m365", "state": "undecided" })],
                _ => Vec::new(),
            };
            let pins: Vec<Pin> =
                pinned.into_iter().map(|(n, days)| pin(&n.to_string(), Some(NOW + days * DAY))).collect();
            let documents: Vec<_> =
                accounts.iter().map(|(state, n)| document(names[*state], &held(*n))).collect();
            let told = tell(both, &documents, &pins, NOW);
            let chosen = states(&told).iter().filter(|state| **state == "chosen").count();
            prop_assert!(chosen <= 1);
            prop_assert!(chosen == 0 || !states(&told).contains(&"undecided"));
            let documents: Vec<_> =
                accounts.iter().zip(&told.accounts).map(|((state, _), list)| document(names[*state], list)).collect();
            prop_assert_eq!(tell(both, &documents, &pins, NOW), told);
        }
    }
}
