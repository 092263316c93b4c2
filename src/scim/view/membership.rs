//! Memberships through a view that is made for their ends: a membership is seen by whom the member is seen by in the
//! group's `members`, and tells of either end no more than the ends themselves do.

use serde_json::{Map, Value};

use super::View;

impl View {
    /// Whether memberships are seen at all: the ids of members are released. Whether both ends are seen is another
    /// question, which [`View::admits`] answers for each.
    pub fn sees_memberships(&self) -> bool {
        self.sees_all("members.value")
    }

    /// Removes from a membership what its ends hide.
    pub fn project_membership(&self, document: &mut Map<String, Value>) {
        if self.is_whole() {
            return;
        }
        if let Some(Value::Object(group)) = document.get_mut("group") {
            group.retain(|sub, _| sub != "display" || self.sees_all("displayName"));
        }
        if let Some(Value::Object(member)) = document.get_mut("member") {
            member.retain(|sub, _| self.sees_all(&format!("members.{sub}")));
        }
    }
}
