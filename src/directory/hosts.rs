//! Host names of a tenant: where the interface is addressed by one, a token of another tenant is worth nothing.

use super::{Ctx, Directory, Error};

/// What the key of a host name in the table of routes begins with.
const HOST: &str = "host:";
/// Longest name (RFC 1035 section 2.3.4).
const LONGEST: usize = 253;

impl Directory {
    /// Has host names lead to the tenant, or no longer. Fails with 400 invalidValue for what is no host name and 409
    /// uniqueness for one of another tenant; then nothing is changed.
    pub async fn set_hosts(&self, ctx: &Ctx, added: &[String], removed: &[String]) -> Result<(), Error> {
        let key = |name: &String| {
            let fits = !name.is_empty()
                && name.len() <= LONGEST
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
            match fits {
                true => Ok(format!("{HOST}{}", name.to_ascii_lowercase())),
                false => {
                    Err(scim::Error::invalid_value(format!("{name:?} is no host name. Leave scheme and port out.")))
                }
            }
        };
        let added = added.iter().map(key).collect::<Result<Vec<_>, _>>()?;
        let removed = removed.iter().map(key).collect::<Result<Vec<_>, _>>()?;
        let tenant = ctx.tenant;
        self.commit(ctx, move |work| {
            for key in &added {
                work.put_route(key, None)?;
            }
            for key in &removed {
                if work.route(key)?.is_some_and(|route| route.tenant == tenant) {
                    work.remove_route(key);
                }
            }
            Ok(())
        })
        .await
    }
}
