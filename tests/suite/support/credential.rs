//! Credentials of clients that the tests make themselves, past the program: its own commands make them too, and have tests.

use std::sync::Arc;

use matrikel::auth::token;
use scim::schema::Registry;
use serde_json::Value;
use store::work::Origin;
use store::{By, Credential, CredentialKind, Options, Random, ResourceId, Store, TenantId};
use uuid::Uuid;

use super::server::{Server, command};

/// A client of a tenant, as the database knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holder {
    pub(crate) tenant: TenantId,
    pub(crate) client: ResourceId,
}

impl Holder {
    /// The client of that name.
    pub(crate) async fn find(server: &Server, slug: &str, name: &str) -> Self {
        let listed = command(server.database_url(), &["client", "list", "--tenant", slug, "--json"]);
        let listed: Vec<Value> = serde_json::from_str(&listed).expect("a list");
        let client = listed.iter().find(|client| client["name"] == name).expect("the client");
        let store = open(server);
        let tenant = store.tenant_by_slug(slug).await.expect("a look-up").expect("the tenant").id;
        store.close();
        Holder { tenant, client: client["id"].as_str().and_then(|id| id.parse().ok()).expect("an id") }
    }

    /// How it calls itself at the token endpoint.
    pub(crate) fn id(&self) -> String {
        token::client_id(self.tenant, self.client)
    }

    /// Gives it a secret for the token endpoint.
    pub(crate) async fn secret(&self, server: &Server) -> (Uuid, String) {
        let id = Uuid::new_v4();
        let minted = token::mint_secret(self.tenant, id, &token::random_bytes().expect("random"));
        self.put(server, id, CredentialKind::Secret, minted.digest, None, None).await;
        (id, minted.token)
    }

    /// Gives it a public key.
    pub(crate) async fn key(&self, server: &Server, jwk: &Value) -> Uuid {
        let id = Uuid::new_v4();
        self.put(server, id, CredentialKind::Key, id.as_bytes().to_vec(), Some(jwk.to_string()), None).await;
        id
    }

    /// Turns one of its credentials off.
    pub(crate) async fn revoke(&self, server: &Server, id: Uuid) {
        let client = self.client;
        let store = open(server);
        let revoked = store.write(self.tenant, origin(), move |work| {
            let known = work.credentials_of(client)?.into_iter().find(|known| known.id == id);
            let known = known.ok_or(store::Error::NotFound)?;
            work.put_credential(Credential { revoked_at: Some(1), ..known });
            Ok(())
        });
        revoked.await.map_err(|error: store::Error| error).expect("revoked");
        store.close();
    }

    async fn put(
        &self,
        server: &Server,
        id: Uuid,
        kind: CredentialKind,
        digest: Vec<u8>,
        material: Option<String>,
        expires_at: Option<i64>,
    ) {
        let credential = Credential {
            id,
            client: self.client,
            kind,
            digest,
            label: None,
            material,
            created_at: 1,
            starts_at: None,
            expires_at,
            revoked_at: None,
            last_used_at: None,
        };
        let store = open(server);
        let put = store.write(self.tenant, origin(), move |work| {
            work.put_credential(credential.clone());
            Ok(())
        });
        put.await.map_err(|error: store::Error| error).expect("written");
        store.close();
    }
}

fn origin() -> Origin {
    Origin { actor: ResourceId::SYSTEM, cause: "operator", by: By::default(), now: 1, random: Random::os() }
}

fn open(server: &Server) -> Store {
    let registry = Arc::new(Registry::builtin().expect("the documents"));
    Store::open(&Options { readers: 1, ..Options::new(server.database_url()) }, registry).expect("the database")
}
