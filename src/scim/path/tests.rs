//! PATCH paths: cases in `cases/path.json`.

use serde::Deserialize;

use super::*;
use crate::ScimType;

#[derive(Deserialize)]
struct Table {
    good: Vec<Good>,
    bad: Vec<Bad>,
}

#[derive(Deserialize)]
struct Good {
    path: String,
    attr: String,
    filter: Option<String>,
    sub: Option<String>,
}

#[derive(Deserialize)]
struct Bad {
    path: String,
    at: usize,
    detail: String,
}

fn table() -> Table {
    serde_json::from_str(include_str!("../cases/path.json")).unwrap()
}

#[test]
fn a_path_is_taken_apart_and_printed_again() {
    for case in table().good {
        let path = PatchPath::parse(&case.path).unwrap();
        assert_eq!((&path.attr, &path.sub), (&case.attr, &case.sub), "{}", case.path);
        assert_eq!(path.filter.as_ref().map(ToString::to_string), case.filter);
        assert_eq!(PatchPath::parse(&path.to_string()), Ok(path));
    }
}

#[test]
fn a_malformed_path_fails_where_it_breaks() {
    for case in table().bad {
        let error = PatchPath::parse(&case.path).expect_err(&case.path);
        assert_eq!(error.scim_type, Some(ScimType::InvalidPath));
        assert!(error.detail.starts_with(&format!("At character {}: ", case.at)), "{}: {}", case.path, error.detail);
        assert!(error.detail.contains(&case.detail), "{}: {}", case.path, error.detail);
    }
}
