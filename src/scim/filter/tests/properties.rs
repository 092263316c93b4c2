//! What holds for every filter.

use proptest::prelude::*;

use super::arbitrary::{document, fitting, written};
use super::definition;
use crate::filter::{Checked, Filter, Op};

proptest! {
    #[test]
    fn printing_a_filter_and_reading_it_again_gives_the_same_filter(filter in written()) {
        prop_assert_eq!(Filter::parse(&filter.to_string()), Ok(filter));
    }

    #[test]
    fn a_checked_filter_prints_as_one_that_checks_to_itself(filter in fitting()) {
        let again = Filter::parse(&filter.to_string()).and_then(|parsed| parsed.check(definition("Probe")));
        prop_assert_eq!(again, Ok(filter));
    }

    #[test]
    fn reading_any_text_ends_in_a_filter_or_an_error(text in "[a-z.:\\[\\]()\"' \\\\u0-9$-]{0,60}") {
        if let Ok(filter) = Filter::parse(&text) {
            prop_assert_eq!(Filter::parse(&filter.to_string()), Ok(filter));
        }
    }

    #[test]
    fn pushing_not_down_keeps_the_meaning(filter in fitting(), document in document()) {
        let pushed = filter.clone().push_not();
        prop_assert!(only_leaves_are_negated(&pushed), "{}", pushed);
        prop_assert_eq!(pushed.matches(&document), filter.matches(&document));
    }

    #[test]
    fn negation_is_the_opposite(filter in fitting(), document in document()) {
        let negated = Filter::Not(Box::new(filter.clone()));
        prop_assert_ne!(negated.matches(&document), filter.matches(&document));
    }

    #[test]
    fn ne_is_not_eq(filter in fitting(), document in document()) {
        prop_assert_eq!(without_ne(filter.clone()).matches(&document), filter.matches(&document));
    }

    #[test]
    fn conjuncts_together_are_the_filter(filter in fitting(), document in document()) {
        prop_assert_eq!(filter.conjuncts().iter().all(|part| part.matches(&document)), filter.matches(&document));
    }
}

fn only_leaves_are_negated(filter: &Filter<Checked>) -> bool {
    match filter {
        Filter::And(parts) | Filter::Or(parts) => parts.iter().all(only_leaves_are_negated),
        Filter::Not(part) => match &**part {
            Filter::Element(..) => only_leaves_are_negated(part),
            part => matches!(part, Filter::Present(_) | Filter::Compare(..)),
        },
        Filter::Element(_, part) => only_leaves_are_negated(part),
        Filter::Present(_) | Filter::Compare(..) | Filter::Const(_) => true,
    }
}

fn without_ne(filter: Filter<Checked>) -> Filter<Checked> {
    match filter {
        Filter::And(parts) => Filter::And(parts.into_iter().map(without_ne).collect()),
        Filter::Or(parts) => Filter::Or(parts.into_iter().map(without_ne).collect()),
        Filter::Not(part) => Filter::Not(Box::new(without_ne(*part))),
        Filter::Element(target, part) => Filter::Element(target, Box::new(without_ne(*part))),
        Filter::Compare(target, Op::Ne, operand) => Filter::Not(Box::new(Filter::Compare(target, Op::Eq, operand))),
        other => other,
    }
}

#[test]
fn a_number_is_read_to_the_last_digit() {
    // Reading numbers fast instead loses the last bit, and each printing moves on.
    let printed = Filter::parse("size eq 1.11111111111111111E110").expect("a filter").to_string();
    assert_eq!(printed, "size eq 1.1111111111111111e+110");
    assert_eq!(Filter::parse(&printed).expect("a filter").to_string(), printed);
}
