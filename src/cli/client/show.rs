//! What `matrikel client` says.

use serde_json::{Value, json};
use store::{Credential, CredentialKind, ResourceId, TenantId};

use super::Place;
use crate::auth::token;
use crate::cli::output;
use crate::directory::clients::{ClientRow, NewCredential};

/// A new token, this once.
pub(super) fn token(
    place: &Place,
    name: &str,
    id: ResourceId,
    token: &str,
    expires_at: Option<i64>,
) -> std::io::Result<()> {
    let ends = expires_at.map(output::moment);
    if place.json {
        return output::say(json!({ "id": id.to_string(), "name": name, "token": token, "expiresAt": ends }));
    }
    let ends = ends.unwrap_or_else(|| "never".to_owned());
    output::remark(format!("The token of {name}, shown this once (it ends {ends}):"))?;
    output::say(token)
}

/// A new credential, with what is secret of it this once.
pub(super) fn credential(
    place: &Place,
    tenant: TenantId,
    name: &str,
    client: ResourceId,
    credential: &NewCredential,
    secret: Option<&str>,
) -> std::io::Result<()> {
    let client_id = token::client_id(tenant, client);
    let kind = credential.kind.as_str();
    if place.json {
        let mut said = json!({
            "id": credential.id.to_string(), "client": client.to_string(), "clientId": client_id, "name": name,
            "kind": kind, "label": credential.label, "startsAt": credential.starts_at.map(output::moment),
            "expiresAt": credential.expires_at.map(output::moment),
        });
        if let (Some(said), Some(secret)) = (said.as_object_mut(), secret) {
            said.insert(kind.to_owned(), secret.into());
        }
        return output::say(said);
    }
    let ends = credential.expires_at.map_or_else(|| "never".to_owned(), output::moment);
    let Some(secret) = secret else {
        return output::say(format!("Client {name} ({client_id}) has the {kind} {} (it ends {ends}).", credential.id));
    };
    let of = if credential.kind == CredentialKind::Secret {
        format!(", whose client_id is {client_id}")
    } else {
        String::new()
    };
    output::remark(format!("The {kind} of {name}{of}, shown this once (it ends {ends}):"))?;
    output::say(secret)
}

/// Clients and their credentials.
pub(super) fn list(place: &Place, rows: &[ClientRow]) -> std::io::Result<()> {
    if place.json {
        return output::say(json!(rows.iter().map(document).collect::<Vec<_>>()));
    }
    for row in rows {
        line(row)?;
    }
    Ok(())
}

/// All that is written of a client.
pub(super) fn one(place: &Place, row: &ClientRow) -> std::io::Result<()> {
    let mut shown = document(row);
    if let Some(shown) = shown.as_object_mut() {
        let more = row.document.iter().filter(|(name, _)| !["schemas", "credentials"].contains(&name.as_str()));
        shown.extend(more.map(|(name, value)| (name.clone(), value.clone())));
    }
    if place.json {
        return output::say(shown);
    }
    line(row)?;
    let told = ["name", "role", "active", "schemas", "credentials"];
    for (name, value) in row.document.iter().filter(|(name, _)| !told.contains(&name.as_str())) {
        output::say(format!("  {name}: {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)))?;
    }
    Ok(())
}

fn document(row: &ClientRow) -> Value {
    let credential = |credential: &Credential| {
        json!({
            "id": credential.id.to_string(),
            "kind": credential.kind.as_str(),
            "label": credential.label,
            "createdAt": output::moment(credential.created_at),
            "startsAt": credential.starts_at.map(output::moment),
            "expiresAt": credential.expires_at.map(output::moment),
            "revokedAt": credential.revoked_at.map(output::moment),
            "lastUsedAt": credential.last_used_at.map(output::moment),
        })
    };
    json!({
        "id": row.id.to_string(), "name": row.name, "role": row.role.as_str(), "scopes": row.scopes.texts(),
        "active": row.active, "credentials": row.credentials.iter().map(credential).collect::<Vec<_>>(),
    })
}

fn line(row: &ClientRow) -> std::io::Result<()> {
    let state = if row.active { "active" } else { "inactive" };
    output::say(format!("{:<24} {:<14} {state:<9} {}", row.name, row.role.as_str(), row.scopes))?;
    for credential in &row.credentials {
        let fate = match (credential.revoked_at, credential.expires_at) {
            (Some(at), _) => format!("revoked {}", output::moment(at)),
            (None, Some(at)) => format!("ends {}", output::moment(at)),
            (None, None) => "never ends".to_owned(),
        };
        let starts = credential.starts_at.map_or_else(String::new, |at| format!("starts {}  ", output::moment(at)));
        let used = credential
            .last_used_at
            .map_or_else(|| "never used".to_owned(), |at| format!("used {}", output::moment(at)));
        let label = credential.label.as_deref().map_or_else(String::new, |label| format!("  {label}"));
        output::say(format!(
            "  {}  {:<11} made {}  {starts}{fate}  {used}{label}",
            credential.id,
            credential.kind.as_str(),
            output::moment(credential.created_at)
        ))?;
    }
    Ok(())
}
