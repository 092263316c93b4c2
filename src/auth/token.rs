//! Bearer tokens (RFC 6750): `mk_<tenant>_<credential>_<secret><checksum>`; secrets for the token endpoint, which are made
//! alike and begin with `ms`; and the `client_id` of a client there, `mc_<tenant>_<client>`, which is no secret.
//!
//! Tenant and credential make the stored row one look-up by primary key; the secret is 256 random bits; the checksum
//! refuses a mistyped or cut token before the database is asked, and lets a secret scanner recognise a real one. Only the
//! SHA-256 of the whole token is ever stored: with 256 random bits nothing slower is needed. Secret and checksum are
//! base62, so that the three underscores split a token in one way only. Never writes a token anywhere.

use std::fmt;

use sha2::{Digest, Sha256};
use store::{ResourceId, TenantId};
use subtle::ConstantTimeEq;
use uuid::Uuid;

/// What every token begins with.
pub const PREFIX: &str = "mk";
/// What every secret for the token endpoint begins with.
pub const SECRET_PREFIX: &str = "ms";
const CLIENT_PREFIX: &str = "mc";

/// Base62 digits that hold 256 bits.
const SECRET_LENGTH: usize = 43;
const CHECKSUM_LENGTH: usize = 6;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A new token. The text is shown once and then forgotten; the digest is stored.
pub struct Minted {
    /// The token as the client sends it.
    pub token: String,
    /// SHA-256 of the token.
    pub digest: Vec<u8>,
}

/// Shows nothing of the secret.
impl fmt::Debug for Minted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Minted(…)")
    }
}

/// Where a well-formed token leads. That it is well-formed says nothing about whether it is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The tenant it says it belongs to.
    pub tenant: TenantId,
    /// The credential it says it is.
    pub credential: Uuid,
}

/// Makes a token from 32 random bytes.
pub fn mint(tenant: TenantId, credential: Uuid, random: &[u8; 32]) -> Minted {
    mint_with(PREFIX, tenant, credential, random)
}

/// Makes a secret for the token endpoint from 32 random bytes.
pub fn mint_secret(tenant: TenantId, credential: Uuid, random: &[u8; 32]) -> Minted {
    mint_with(SECRET_PREFIX, tenant, credential, random)
}

fn mint_with(prefix: &str, tenant: TenantId, credential: Uuid, random: &[u8; 32]) -> Minted {
    let body = format!("{prefix}_{}_{}_{}", tenant.0, credential.simple(), base62(random, SECRET_LENGTH));
    let token = format!("{body}{}", checksum(&body));
    let digest = digest(&token).to_vec();
    Minted { token, digest }
}

/// 32 bytes from the operating system's generator.
pub fn random_bytes() -> Result<[u8; 32], openssl::error::ErrorStack> {
    let mut bytes = [0; 32];
    openssl::rand::rand_bytes(&mut bytes)?;
    Ok(bytes)
}

/// How a client calls itself at the token endpoint (RFC 6749 section 2.2). Its tenant is known without a look-up.
pub fn client_id(tenant: TenantId, client: ResourceId) -> String {
    format!("{CLIENT_PREFIX}_{}_{}", tenant.0, client.0.simple())
}

/// The tenant and client of a `client_id`; `None` when it is none of ours, or is spelt otherwise.
pub fn parse_client_id(text: &str) -> Option<(TenantId, ResourceId)> {
    let (tenant, client) = text.strip_prefix(CLIENT_PREFIX)?.strip_prefix('_')?.split_once('_')?;
    let (tenant, client) = (TenantId(tenant.parse().ok()?), ResourceId(Uuid::try_parse(client).ok()?));
    (client_id(tenant, client) == text).then_some((tenant, client))
}

/// Reads a token's parts; `None` when it is not one of ours or was mistyped.
pub fn parse(token: &str) -> Option<Claim> {
    parse_with(PREFIX, token)
}

/// The same for a secret.
pub fn parse_secret(secret: &str) -> Option<Claim> {
    parse_with(SECRET_PREFIX, secret)
}

fn parse_with(wanted: &str, token: &str) -> Option<Claim> {
    let (body, sum) = token.split_at_checked(token.len().checked_sub(CHECKSUM_LENGTH)?)?;
    let mut parts = body.split('_');
    let (prefix, tenant, credential, secret) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let canonical = parts.next().is_none()
        && prefix == wanted
        && secret.len() == SECRET_LENGTH
        && secret.bytes().all(|byte| ALPHABET.contains(&byte));
    if !canonical || checksum(body) != sum {
        return None;
    }
    Some(Claim { tenant: TenantId(tenant.parse().ok()?), credential: Uuid::try_parse(credential).ok()? })
}

/// SHA-256 of the whole token: what is stored and compared.
pub fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Compares digests in constant time.
pub fn matches(digest: &[u8; 32], stored: &[u8]) -> bool {
    digest.as_slice().ct_eq(stored).into()
}

fn checksum(body: &str) -> String {
    base62(&digest(body), CHECKSUM_LENGTH)
}

/// The `length` lowest base62 digits of a 256-bit number, lowest first.
fn base62(bytes: &[u8; 32], length: usize) -> String {
    let mut number = *bytes;
    (0..length)
        .map(|_| {
            let digit = number.iter_mut().fold(0u16, |remainder, byte| {
                let value = remainder * 256 + u16::from(*byte);
                *byte = u8::try_from(value / 62).unwrap_or(u8::MAX);
                value % 62
            });
            char::from(ALPHABET.get(usize::from(digit)).copied().unwrap_or(b'0'))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minted(seed: u8) -> Minted {
        mint(TenantId(17), Uuid::from_u128(0x1234), &[seed; 32])
    }

    #[test]
    fn a_minted_token_leads_back_to_its_tenant_and_credential() {
        let claim = parse(&minted(7).token).expect("parses");
        assert_eq!(claim, Claim { tenant: TenantId(17), credential: Uuid::from_u128(0x1234) });
    }

    #[test]
    fn a_secret_is_no_token_and_a_token_no_secret() {
        let secret = mint_secret(TenantId(17), Uuid::from_u128(0x1234), &[7; 32]).token;
        assert_eq!(parse_secret(&secret), parse(&minted(7).token));
        assert_eq!((parse(&secret), parse_secret(&minted(7).token)), (None, None));
    }

    #[test]
    fn a_client_id_has_one_spelling() {
        let (tenant, client) = (TenantId(17), ResourceId(Uuid::from_u128(0xABC)));
        let text = client_id(tenant, client);
        assert_eq!(text, "mc_17_00000000000000000000000000000abc");
        assert_eq!(parse_client_id(&text), Some((tenant, client)));
        for other in
            ["mc_17_00000000000000000000000000000ABC", "mc_+17_00000000000000000000000000000abc", "mc_17", "hr", ""]
        {
            assert_eq!(parse_client_id(other), None, "{other}");
        }
    }

    #[test]
    fn a_token_is_ascii_without_further_underscores_and_of_known_length() {
        for seed in [0, 1, 127, 255] {
            let token = minted(seed).token;
            assert_eq!(token.matches('_').count(), 3, "{token}");
            let secret = token.rsplit('_').next().expect("a secret");
            assert_eq!(secret.len(), SECRET_LENGTH + CHECKSUM_LENGTH);
            assert!(secret.chars().all(|c| c.is_ascii_alphanumeric()));
        }
    }

    #[test]
    fn every_single_changed_character_is_refused() {
        let token = minted(9).token;
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let typo = String::from_utf8(bytes).expect("ASCII");
            assert_eq!(parse(&typo), None, "{typo}");
        }
    }

    #[test]
    fn text_that_is_no_token_is_refused() {
        let token = minted(1).token;
        for text in
            ["", "mk", "mk___", "åäöåäö", "mk_1_2_3", &token[1..], &token[..token.len() - 1], &format!("{token}A")]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_digest_is_of_the_whole_token() {
        let minted = minted(3);
        assert!(matches(&digest(&minted.token), &minted.digest));
        assert!(!matches(&digest("another"), &minted.digest));
        assert!(!matches(&digest(&minted.token), &minted.digest[..31]));
    }

    #[test]
    fn different_randomness_gives_different_secrets() {
        assert_ne!(minted(1).token, minted(2).token);
        assert_ne!(random_bytes().expect("random"), random_bytes().expect("random"));
    }

    #[test]
    fn debug_output_does_not_hold_the_token() {
        assert!(!format!("{:?}", minted(1)).contains("mk_"));
    }
}
