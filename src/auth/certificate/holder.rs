//! Which client a certificate stands for. Its key is asked first, then the member of a federation whose key it is, then,
//! and only if an authority vouches for them, the names in it; the first rule decides that has a credential in force.
//! The certificate must be good at that moment itself, whoever vouches.

use serde_json::Value;
use store::{Credential, CredentialKind, Tenant, TenantId};

use super::PeerCertificate;
use crate::auth::bearer::{Authenticator, Principal, Refusal};
use crate::directory::Rule;

/// Names of one certificate that are looked up, so that one with thousands costs no more.
const NAMES: usize = 64;

/// A rule that a certificate fulfils, and until when it surely does.
pub(in crate::auth) struct Fulfilled {
    pub(in crate::auth) rule: Rule,
    /// µs since 1970; `None`: as long as the certificate is good.
    until: Option<i64>,
}

impl Authenticator {
    /// Looks up the client that a certificate stands for; `now` in µs since 1970.
    pub(in crate::auth) async fn holder(&self, certificate: &PeerCertificate, now: i64) -> Result<Principal, Refusal> {
        if !certificate.is_current(now) {
            return Err(Refusal::Stranger);
        }
        let rules = self.fulfilled(certificate, now);
        let found = self.directory.store().read(move |reader| {
            for Fulfilled { rule, until } in rules {
                let Some(route) = reader.route(&rule.route())? else { continue };
                let (Some(client), Some(tenant)) = (route.target, reader.tenant(route.tenant)?) else { continue };
                let credentials = reader.credentials_of(route.tenant, client)?;
                if let Some(credential) = credentials.into_iter().find(|credential| is_of(credential, &rule, now)) {
                    return Ok(Some((tenant, route.tenant, credential, until)));
                }
            }
            Ok(None)
        });
        let found = found.await.map_err(|error: store::Error| Refusal::from(error))?;
        let (tenant, tenant_id, credential, until): (Tenant, TenantId, Credential, Option<i64>) =
            found.ok_or(Refusal::Stranger)?;
        let caller = self.directory.caller(tenant_id, credential.client).await?.ok_or(Refusal::Stranger)?;
        if !tenant.is_active() {
            return Err(Refusal::Suspended);
        }
        let expires_at = [credential.expires_at, until].into_iter().flatten().min();
        Ok(Principal {
            caller: caller.into(),
            tenant: tenant_id,
            credential: credential.id,
            expires_at,
            certificate: None,
            as_of: now,
        })
    }

    /// The rules that a certificate fulfils, the most particular first.
    pub(in crate::auth) fn fulfilled(&self, certificate: &PeerCertificate, now: i64) -> Vec<Fulfilled> {
        let mut rules = vec![Fulfilled { rule: Rule::Key(certificate.pin), until: None }];
        if let Some(member) = self.members.of_client(&certificate.pin, now) {
            let rule = Rule::Entity { federation: member.federation, entity: member.entity };
            rules.push(Fulfilled { rule, until: Some(member.expires_at) });
        }
        if certificate.is_trusted {
            let subject = Some(&certificate.subject).filter(|subject| !subject.is_empty());
            let subject = subject.map(|subject| Rule::Subject(subject.clone()));
            let uris = certificate.uris.iter().map(|uri| Rule::Uri(uri.clone()));
            let dns_names = certificate.dns_names.iter().map(|name| Rule::Dns(name.clone()));
            let emails = certificate.emails.iter().map(|address| Rule::Email(address.clone()));
            let names = subject.into_iter().chain(uris).chain(dns_names).chain(emails).take(NAMES);
            rules.extend(names.map(|rule| Fulfilled { rule, until: None }));
        }
        rules
    }
}

fn is_of(credential: &Credential, rule: &Rule, now: i64) -> bool {
    let material = credential.material.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok());
    credential.kind == CredentialKind::Certificate
        && credential.holds(now)
        && material.is_some_and(|material| Rule::parse(&material).as_ref() == Ok(rule))
}
