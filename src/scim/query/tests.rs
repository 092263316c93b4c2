//! Searches: cases in `cases/query.json`.

use serde::Deserialize;
use serde_json::Value;

use super::*;

#[derive(Deserialize)]
struct Table {
    parameters: Vec<Case<Vec<(String, String)>>>,
    bodies: Vec<Case<Value>>,
}

#[derive(Deserialize)]
struct Case<T> {
    given: T,
    #[serde(default)]
    expect: Expected,
    error: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Expected {
    filter: Option<String>,
    sort_by: Option<String>,
    #[serde(default)]
    descending: bool,
    start_index: Option<u64>,
    count: Option<u64>,
    cursor: Option<String>,
    #[serde(default)]
    attributes: Vec<String>,
    #[serde(default)]
    excluded: Vec<String>,
}

fn table() -> Table {
    serde_json::from_str(include_str!("../cases/query.json")).unwrap()
}

fn compare<T: std::fmt::Debug>(case: Case<T>, result: Result<SearchRequest, Error>) {
    let Case { given, expect, error } = case;
    let expected = match error {
        Some(error) => Err(error),
        None => Ok(SearchRequest {
            filter: expect.filter,
            sort_by: expect.sort_by,
            descending: expect.descending,
            start_index: expect.start_index.unwrap_or(1),
            count: expect.count,
            cursor: expect.cursor,
            attributes: expect.attributes,
            excluded: expect.excluded,
        }),
    };
    assert_eq!(result.map_err(|error| error.to_string()), expected, "{given:?}");
}

#[test]
fn query_parameters_are_read() {
    for case in table().parameters {
        let pairs = case.given.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let result = SearchRequest::from_pairs(pairs);
        compare(case, result);
    }
}

#[test]
fn search_messages_are_read() {
    for case in table().bodies {
        let result = SearchRequest::from_body(&case.given);
        compare(case, result);
    }
}
