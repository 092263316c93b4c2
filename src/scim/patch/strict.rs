//! What a strict profile asks of PATCH beyond RFC 7644 (draft-zollner-scim-interop-profile-01, "Updating Resources"): one
//! operation for each attribute path, and a value filter that leads to a sub-attribute of one element. That a path is
//! there and that arrays are arrays is checked where they are read.
//!
//! The draft forbids `members[value eq "…"]` by its letter and has then no way to remove one member. Refusing it is
//! optional there, so removing members by filter stays possible.

use std::collections::HashSet;

use super::Verb;
use crate::Error;
use crate::filter::{Filter, Parsed};
use crate::resource::MEMBERS;
use crate::schema::Place;

/// Checks where a path leads, and notes it among those seen.
///
/// Errors: 400 invalidSyntax for a path that stands twice in the message, 400 invalidPath for a value filter that no
/// sub-attribute follows.
pub(super) fn check_path(
    seen: &mut HashSet<String>,
    verb: Verb,
    place: &Place<'_>,
    filter: Option<&Filter<Parsed>>,
    sub: Option<&str>,
) -> Result<(), Error> {
    let attribute = place.canonical();
    let removes_member = verb == Verb::Remove && attribute == MEMBERS;
    if filter.is_some() && sub.is_none() && !removes_member {
        return Err(Error::invalid_path(format!(
            "{attribute}[…] must be followed by a sub-attribute, as in {attribute}[…].value."
        )));
    }
    let filter = filter.map(|filter| format!("[{filter}]")).unwrap_or_default();
    let sub = sub.map(|sub| format!(".{}", sub.to_ascii_lowercase())).unwrap_or_default();
    let target = format!("{attribute}{filter}{sub}");
    if seen.contains(&target) {
        return Err(Error::invalid_syntax(format!("{target} is the target of more than one operation.")));
    }
    seen.insert(target);
    Ok(())
}
