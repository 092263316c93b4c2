//! Passwords: hashed before any lock is taken, kept beside the document and never in it.

use argon2::Argon2;
use argon2::password_hash::PasswordHasher;

use store::Random;

use super::Error;

/// The attribute.
pub(super) const SLOT: &str = "password";

/// Stands in a document for a password that is kept. A PATCH can take it away or set another one.
pub(super) const KEPT: &str = "\u{1}kept\u{1}";

/// Hashes a password with argon2id. Takes tens of milliseconds on a thread that may block.
pub(super) async fn seal(password: String, random: &Random) -> Result<Vec<u8>, Error> {
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
