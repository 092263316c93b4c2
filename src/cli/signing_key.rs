//! `matrikel signing-key`: the keys that sign access tokens. The first is made by the server when it needs one; here they are
//! listed and exchanged. A private key is never shown.

use serde_json::{Value, json};
use store::SigningKey;

use super::{Shared, now, open, output, serve};
use crate::auth::oauth::keys::{self, Rotation};
use crate::config::ConfigError;
use crate::directory::secret::sealed_under;

/// The commands about keys that sign.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// List the keys and when each signs
    List {
        /// Answer as JSON
        #[arg(long)]
        json: bool,
    },
    /// Make the next key: it is published first, signs after ten minutes, and the others stay until their tokens are over
    #[command(after_help = "Example: matrikel signing-key rotate")]
    Rotate {
        /// A key has become known to others: the next one signs at once, and every token that was signed before is over
        #[arg(long)]
        at_once: bool,
        /// Answer as JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(shared: &Shared, command: &Command) -> anyhow::Result<()> {
    let config = shared.load()?;
    let now = now();
    open::run(&config, async |directory| {
        let store = directory.store();
        match command {
            Command::List { json } => {
                let keys = store.read(|reader| reader.signing_keys()).await.map_err(|error: store::Error| error)?;
                list(&keys, *json, now)
            }
            Command::Rotate { at_once, json } => {
                let gentle = || Rotation::gentle(now, config.oauth.token_seconds);
                if directory.master_keys().is_empty() {
                    return Err(ConfigError::new(
                        "A key that signs tokens takes a master key to be sealed under. Make one with `matrikel key new NAME`, \
                         and set secrets.key_file.",
                    )
                    .into());
                }
                let rotation = if *at_once { Rotation::at_once(now) } else { gentle() };
                let id =
                    keys::add(store, &directory.master_keys(), serve::algorithm(&config), now, Some(rotation)).await?;
                let about = json!({ "resource": { "type": "SigningKey", "value": id } });
                let about = about.as_object().cloned().unwrap_or_default();
                let operation = if *at_once { "signingKeyReplace" } else { "signingKeyRotate" };
                directory.remember_everywhere(now, operation, &about).await?;
                let (signs, end) = (output::moment(rotation.signs_from), output::moment(rotation.others_end));
                if *json {
                    output::say(json!({ "id": id, "signsFrom": signs, "othersEnd": end }))?;
                } else {
                    output::say(format!("{id} signs from {signs} on; all others end {end}."))?;
                }
                Ok(())
            }
        }
    })
}

fn list(keys: &[SigningKey], json: bool, now: i64) -> anyhow::Result<()> {
    if json {
        output::say(json!(keys.iter().map(document).collect::<Vec<_>>()))?;
        return Ok(());
    }
    for key in keys {
        let begins = if key.signs_from <= now { "signs since" } else { "signs from" };
        let ends = match key.ends_at {
            Some(end) if end <= now => format!("ended {}", output::moment(end)),
            Some(end) => format!("ends {}", output::moment(end)),
            None => "no end".to_owned(),
        };
        let under = sealed_under(&key.private).map_or("not sealed".to_owned(), |master| format!("under {master}"));
        let signs_from = output::moment(key.signs_from);
        output::say(format!("{}  {:<5}  {begins} {signs_from}  {ends}  {under}", key.id, key.algorithm))?;
    }
    Ok(())
}

fn document(key: &SigningKey) -> Value {
    json!({
        "id": key.id, "algorithm": key.algorithm, "createdAt": output::moment(key.created_at),
        "signsFrom": output::moment(key.signs_from), "endsAt": key.ends_at.map(output::moment),
        "master": sealed_under(&key.private),
    })
}
