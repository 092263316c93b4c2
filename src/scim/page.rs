//! The answer to a search (RFC 7644 section 3.4.2): a ListResponse around resources that are already JSON texts. They
//! are copied as they are and never parsed again.

/// URN of the list message (RFC 7644 section 3.4.2).
pub const LIST_RESPONSE_URN: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";

/// One page of results. Index paging gives `total_results` and `start_index`; cursor paging the cursors (RFC 9865
/// section 2), and the total where it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListResponse {
    /// How many resources match in all, as far as the caller may see.
    pub total_results: Option<u64>,
    /// Place of the first resource of the page, counted from 1.
    pub start_index: Option<u64>,
    /// The cursor of the page after this one; not on the last page. Needs no escaping.
    pub next_cursor: Option<String>,
    /// The cursor of the page before this one; not on the first page. Needs no escaping.
    pub previous_cursor: Option<String>,
    /// The resources of the page, each a JSON text.
    pub resources: Vec<String>,
}

impl ListResponse {
    /// How many resources the page holds.
    pub fn items_per_page(&self) -> usize {
        self.resources.len()
    }

    /// The message as JSON text. `Resources` is there even when it is empty, as some clients look for it.
    pub fn to_json(&self) -> String {
        let length = self.resources.iter().map(|resource| resource.len() + 1).sum::<usize>();
        let mut text = String::with_capacity(length + 2_048);
        text.push_str("{\"schemas\":[\"");
        text.push_str(LIST_RESPONSE_URN);
        text.push_str("\"]");
        for (name, number) in [("totalResults", self.total_results), ("startIndex", self.start_index)] {
            if let Some(number) = number {
                text.push_str(&format!(",\"{name}\":{number}"));
            }
        }
        text.push_str(&format!(",\"itemsPerPage\":{}", self.items_per_page()));
        for (name, cursor) in [("nextCursor", &self.next_cursor), ("previousCursor", &self.previous_cursor)] {
            if let Some(cursor) = cursor {
                text.push_str(&format!(",\"{name}\":\"{cursor}\""));
            }
        }
        text.push_str(",\"Resources\":[");
        for (index, resource) in self.resources.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            text.push_str(resource);
        }
        text.push_str("]}");
        text
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{LIST_RESPONSE_URN, ListResponse};

    #[test]
    fn a_page_holds_the_texts_it_was_given() {
        let resources = vec![r#"{"id":"1","n":1.50}"#.to_owned(), r#"{"id":"2"}"#.to_owned()];
        let text =
            ListResponse { total_results: Some(12), start_index: Some(3), resources, ..Default::default() }.to_json();
        assert!(text.contains(r#"{"id":"1","n":1.50},{"id":"2"}"#));
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["schemas"], json!([LIST_RESPONSE_URN]));
        assert_eq!((&read["totalResults"], &read["startIndex"]), (&json!(12), &json!(3)));
        assert_eq!(read["itemsPerPage"], json!(2));
    }

    #[test]
    fn an_empty_page_says_so() {
        let text = ListResponse { total_results: Some(0), start_index: Some(1), ..Default::default() }.to_json();
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&read["Resources"], &read["itemsPerPage"]), (&json!([]), &json!(0)));
    }

    #[test]
    fn a_page_of_a_cursor_walk_has_cursors_and_no_index() {
        let page =
            ListResponse { next_cursor: Some("b-_".into()), previous_cursor: Some("a".into()), ..Default::default() };
        let read: Value = serde_json::from_str(&page.to_json()).unwrap();
        assert_eq!((&read["nextCursor"], &read["previousCursor"]), (&json!("b-_"), &json!("a")));
        assert!(read.get("totalResults").is_none() && read.get("startIndex").is_none());
    }
}
