//! Passwords: hashed before any lock is taken, kept beside the document and never in it.

use argon2::Argon2;
use argon2::password_hash::PasswordHasher;

use store::Random;

use super::{Ctx, Error};

/// What a password must be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordPolicy {
    /// Fewest characters.
    pub min: usize,
    /// Most characters.
    pub max: usize,
}

impl Default for PasswordPolicy {
    fn default() -> Self {
        PasswordPolicy { min: 8, max: 256 }
    }
}

impl PasswordPolicy {
    /// The password as it is hashed (RFC 8265 section 4.2, OpaqueString): spaces of other scripts become the ordinary
    /// one, and the form is NFC. Fails with 400 invalidValue, saying what is wanted and nothing of what was given.
    fn prepare(self, password: &str) -> Result<String, scim::Error> {
        let prepared = scim::key::opaque(password);
        let length = prepared.chars().count();
        if length < self.min || length > self.max {
            return Err(scim::Error::invalid_value(format!(
                "password must have {} to {} characters.",
                self.min, self.max
            )));
        }
        if prepared.chars().any(char::is_control) {
            return Err(scim::Error::invalid_value("password must not contain control characters."));
        }
        Ok(prepared)
    }
}

/// 400 invalidSyntax when the caller's profile has no passwords and the request names one.
pub(super) fn check_profile(ctx: &Ctx, is_named: bool) -> Result<(), Error> {
    if is_named && !ctx.caller.profile.has_passwords() {
        return Err(scim::Error::invalid_syntax("password is not an attribute for clients of this profile.").into());
    }
    Ok(())
}

/// The attribute.
pub(super) const SLOT: &str = "password";

/// Stands in a document for a password that is kept. A PATCH can take it away or set another one.
pub(super) const KEPT: &str = "\u{1}kept\u{1}";

/// Hashes a password with argon2id. Takes tens of milliseconds on a thread that may block.
///
/// Fails with 400 invalidValue for one that the policy refuses.
pub(super) async fn seal(password: String, policy: PasswordPolicy, random: &Random) -> Result<Vec<u8>, Error> {
    let password = policy.prepare(&password)?;
    let salt = random.bytes::<16>()?;
    let hashed = tokio::task::spawn_blocking(move || {
        Argon2::default().hash_password_with_salt(password.as_bytes(), &salt).map(|hash| hash.to_string())
    })
    .await;
    match hashed {
        Ok(Ok(hash)) => Ok(serde_json::json!({ "password": hash }).to_string().into_bytes()),
        Ok(Err(error)) => Err(store::Error::Corrupt(format!("a password could not be hashed: {error}")).into()),
        Err(error) => Err(store::Error::Unavailable(error.to_string()).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_prepared_or_refused_by_what_is_wanted() {
        let policy = PasswordPolicy { min: 8, max: 10 };
        let table = [
            ("lövträd 7", Some("lövträd 7")),
            ("lo\u{308}vtra\u{308}d\u{a0}7", Some("lövträd 7")),
            ("Åäö éü ß", Some("Åäö éü ß")),
            ("kort", None),
            ("alldeles för långt", None),
            ("en\tflik till", None),
            ("tabb\tarna", None),
        ];
        for (given, expected) in table {
            let prepared = policy.prepare(given);
            assert_eq!(prepared.as_deref().ok(), expected, "{given}");
            if let Err(error) = prepared {
                assert_eq!(error.scim_type, Some(scim::ScimType::InvalidValue));
                assert!(!error.detail.contains(given), "{error}");
            }
        }
    }
}
