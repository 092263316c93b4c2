//! Media types (RFC 7644 section 3.8, RFC 9110 sections 8.3 and 12.5.1): whether a body is of a type we read, and whether
//! an answer of ours is acceptable. Pure; never chooses another type than `application/scim+json`.

/// Whether a `Content-Type` is one of the two that SCIM bodies have, in UTF-8.
pub(super) fn is_readable(content_type: &str) -> bool {
    let mut parts = content_type.split(';');
    let media = parts.next().unwrap_or_default().trim();
    let known = ["application/scim+json", "application/json"].iter().any(|known| media.eq_ignore_ascii_case(known));
    known
        && parts.filter_map(|parameter| parameter.split_once('=')).all(|(name, value)| {
            !name.trim().eq_ignore_ascii_case("charset") || value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        })
}

/// Whether an `Accept` header leaves room for a SCIM answer: unless it excludes both media types, it does.
pub(super) fn is_answerable(accept: &str) -> bool {
    // Most clients say just what they are given.
    if accept == "application/scim+json" || accept.trim().is_empty() {
        return true;
    }
    let ranges: Vec<(&str, f32)> = accept.split(',').map(weighed).collect();
    // The most specific range that speaks of a type decides.
    let accepted = |exact: &str| {
        let weight = |media: &str| {
            let weights = ranges.iter().filter(|(range, _)| range.eq_ignore_ascii_case(media));
            weights.map(|(_, weight)| *weight).reduce(f32::max)
        };
        [exact, "application/*", "*/*", "*"].into_iter().find_map(weight).is_some_and(|weight| weight > 0.0)
    };
    accepted("application/scim+json") || accepted("application/json")
}

/// A range and its quality, which is 1 unless it is given.
fn weighed(range: &str) -> (&str, f32) {
    let mut parts = range.split(';');
    let media = parts.next().unwrap_or_default().trim();
    let quality = parts
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"))
        .map_or(1.0, |(_, value)| value.trim().parse().unwrap_or(1.0));
    (media, quality)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_media_types_are_read_and_only_in_utf8() {
        let table = [
            ("application/scim+json", true),
            ("application/json", true),
            ("Application/SCIM+JSON; charset=UTF-8", true),
            ("application/json;charset=\"utf-8\"", true),
            ("application/json; charset=iso-8859-1", false),
            ("text/plain", false),
            ("application/x-www-form-urlencoded", false),
            ("", false),
        ];
        for (content_type, readable) in table {
            assert_eq!(is_readable(content_type), readable, "{content_type}");
        }
    }

    #[test]
    fn an_accept_header_must_leave_room_for_one_of_both() {
        let table = [
            ("", true),
            ("*/*", true),
            ("application/*", true),
            ("application/json", true),
            ("application/scim+json; q=0.5", true),
            ("text/html, application/xml;q=0.9, */*;q=0.8", true),
            ("text/html", false),
            ("application/xml, text/html;q=0.5", false),
            ("application/scim+json;q=0, application/json;q=0, */*", false),
            ("application/scim+json;q=0, application/json", true),
            ("*/*;q=0", false),
        ];
        for (accept, answerable) in table {
            assert_eq!(is_answerable(accept), answerable, "{accept}");
        }
    }
}
