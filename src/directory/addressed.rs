//! Resources that a client addresses by a name of its own: one of the Swedish school profile (EGIL, SS 12000:2018) puts its
//! `externalId`, a UUID in lower case, where `id` stands, and never learns another. Only its own domain's names lead anywhere,
//! and none of them beyond what it sees.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use scim::schema::Definition;
use store::{ExternalKey, Reader, ResourceId};
use uuid::Uuid;

use super::{Ctx, Directory, Error};

/// The attribute.
const EXTERNAL_ID: &str = "externalId";

/// Whether a text is a UUID as the profile writes it.
pub fn is_name(text: &str) -> bool {
    Uuid::try_parse(text).is_ok_and(|id| *id.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == *text)
}

/// Names of resources, by type and name.
pub type Holders = HashMap<(String, String), ResourceId>;

impl Directory {
    /// The resources that the caller's own names lead to, asked by type; one that leads nowhere is not among them. Whether the
    /// caller sees them is for whoever reads or writes.
    pub async fn all_addressed(&self, ctx: &Ctx, names: BTreeMap<String, BTreeSet<String>>) -> Result<Holders, Error> {
        let (tenant, domain, views) = (ctx.tenant, ctx.caller.domain, ctx.views.clone());
        if !ctx.caller.profile.has_names() || names.is_empty() {
            return Ok(Holders::new());
        }
        let find = move |reader: &mut Reader| {
            let mut holders = Holders::new();
            for (kind, names) in names.into_iter().filter(|(kind, _)| views.of(kind).sees_all(EXTERNAL_ID)) {
                let names: Vec<&str> = names.iter().map(String::as_str).filter(|name| is_name(name)).collect();
                let found = reader.external_holders(tenant, (domain, &kind), &names)?;
                holders.extend(found.into_iter().map(|(name, id)| ((kind.clone(), name), id)));
            }
            Ok::<_, Error>(holders)
        };
        self.store.read_for(tenant, find).await
    }

    /// What the caller calls these resources, those of them that have a name of its own.
    pub async fn names_of(&self, ctx: &Ctx, ids: BTreeSet<ResourceId>) -> Result<HashMap<ResourceId, String>, Error> {
        let (tenant, domain, views) = (ctx.tenant, ctx.caller.domain, ctx.views.clone());
        if !ctx.caller.profile.has_names() || ids.is_empty() {
            return Ok(HashMap::new());
        }
        let find = move |reader: &mut Reader| {
            let ids: Vec<ResourceId> = ids.into_iter().collect();
            let names = reader.external_names(tenant, domain, &ids)?.into_iter();
            let shown = names.filter(|(_, kind, name)| is_name(name) && views.of(kind).sees_all(EXTERNAL_ID));
            Ok::<_, Error>(shown.map(|(id, _, name)| (id, name)).collect())
        };
        self.store.read_for(tenant, find).await
    }

    /// The resource that the caller's own name in the place of an id leads to. `None`: none does, or the caller's profile has
    /// no such names. Whether the caller sees the resource is for whoever fetches or changes it.
    pub async fn addressed(
        &self,
        ctx: &Ctx,
        definition: &Arc<Definition>,
        name: &str,
    ) -> Result<Option<ResourceId>, Error> {
        if !ctx.caller.profile.has_names() || !is_name(name) || !ctx.view(definition).sees_all(EXTERNAL_ID) {
            return Ok(None);
        }
        let key = ExternalKey { domain: ctx.caller.domain, kind: definition.name().to_owned(), value: name.to_owned() };
        let tenant = ctx.tenant;
        Ok(self.store.read_for(tenant, move |reader| reader.external_holder(tenant, &key)).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn a_name_is_a_uuid_in_lower_case_and_nothing_else() {
        assert!(is_name("0f9c3a5e-8a9f-4a55-9d43-0a5f7c1e2b11"));
        for text in [
            "0F9C3A5E-8A9F-4A55-9D43-0A5F7C1E2B11",
            "0f9c3a5e8a9f4a559d430a5f7c1e2b11",
            "{0f9c3a5e-8a9f-4a55-9d43-0a5f7c1e2b11}",
            "urn:uuid:0f9c3a5e-8a9f-4a55-9d43-0a5f7c1e2b11",
            "ada",
            "",
        ] {
            assert!(!is_name(text), "{text}");
        }
    }
}
