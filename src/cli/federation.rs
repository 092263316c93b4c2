//! `matrikel federation`: looks at the metadata of a federation (RFC 9932), and makes what a small one needs: a key that
//! signs, what a member tells of itself, and the signed metadata of all. Nothing here touches a register.

mod member;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{Shared, now, output, serve};
use crate::auth::federation::jws::{self, Verified};
use crate::auth::federation::key::{PublicKey, SigningKey, read_set};
use crate::auth::federation::metadata::{self, Endpoint, Entity, Metadata};
use crate::auth::federation::{Source, read_anchor};
use crate::config::ConfigError;

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3600;

/// The commands about a federation.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Whether signed metadata is to be believed, and what it says
    #[command(after_help = "Example: matrikel federation verify metadata.json --anchor anchor.json\n\n\
                      Compare the thumbprint with the one that the federation's operator tells by another way.")]
    Verify {
        /// File with signed metadata
        file: PathBuf,
        /// File with the JWK set of the keys that may have signed it
        #[arg(long, value_name = "JWKS")]
        anchor: PathBuf,
        /// Who must have signed it
        #[arg(long, value_name = "URI")]
        issuer: Option<String>,
        /// Answer as JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the members of the configured federation, as a server here knows them
    Show {
        /// Only this entity
        #[arg(long, value_name = "URI")]
        entity: Option<String>,
        /// Answer as JSON
        #[arg(long)]
        json: bool,
    },
    /// Write what a member tells its federation of itself, for its operator to take in
    #[command(after_help = "Example: matrikel federation member-metadata --entity https://skola.example.se \\\n    \
                      --organization \"Storstads kommun\" --server https://id.example.se/scim/v2 --cert server.pem \\\n    \
                      --tag scim --client-cert client.pem\n\n\
                      While a key is changed, name the certificates of both: --cert old.pem --cert new.pem")]
    MemberMetadata(member::Arguments),
    /// Make a key that signs metadata, and show its public half as an anchor
    #[command(after_help = "Example: matrikel federation key signing.json > anchor.json")]
    Key {
        /// File for the private key, which must not exist
        file: PathBuf,
    },
    /// Sign metadata, or the members' own, for its federation
    #[command(after_help = "Example: matrikel federation sign one.json two.json --key signing.json \\\n    \
                      --issuer https://federation.example.se > metadata.json")]
    Sign {
        /// Files: whole metadata, or of one member each (`matrikel federation member-metadata`)
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// File with the JWK that signs (`matrikel federation key`)
        #[arg(long, value_name = "JWK")]
        key: PathBuf,
        /// The federation's URI
        #[arg(long, value_name = "URI")]
        issuer: String,
        /// Hours that it holds
        #[arg(long, default_value_t = 24 * 7, value_parser = clap::value_parser!(i64).range(1..=24 * 366))]
        hours: i64,
        /// Seconds after which members look for newer metadata
        #[arg(long, value_name = "SECONDS")]
        cache_ttl: Option<u64>,
    },
}

pub(super) fn run(shared: &Shared, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Verify { file, anchor, issuer, json } => verify(&file, &anchor, issuer.as_deref(), json),
        Command::Show { entity, json } => show(shared, entity.as_deref(), json),
        Command::MemberMetadata(arguments) => Ok(output::say(pretty(&member::metadata(&arguments)?)?)?),
        Command::Key { file } => make_key(&file),
        Command::Sign { files, key, issuer, hours, cache_ttl } => {
            let metadata = gathered(&files, cache_ttl)?;
            Ok(output::say(pretty(&signed(&metadata, &key, &issuer, hours)?)?)?)
        }
    }
}

/// Metadata that is believed now, and whose keys might have signed it.
fn believed(text: &[u8], anchor: &[PublicKey], issuer: Option<&str>) -> anyhow::Result<(Verified, Metadata)> {
    let verified = Verified::new(text, anchor)?;
    verified.check_time(now() / SECOND)?;
    if let Some(issuer) = issuer.filter(|issuer| *issuer != verified.header.iss) {
        anyhow::bail!("it was issued by {}, not by {issuer}", verified.header.iss);
    }
    let metadata = metadata::parse(&verified.payload).context("it is signed, and breaks the rules of the schema")?;
    Ok((verified, metadata))
}

fn verify(file: &Path, anchor: &Path, issuer: Option<&str>, as_json: bool) -> anyhow::Result<()> {
    let keys = read_anchor(anchor)?;
    let (verified, metadata) =
        believed(&read(file)?, &keys, issuer).with_context(|| format!("{} is not to be believed", file.display()))?;
    told(&verified, &metadata.entities.iter().collect::<Vec<_>>(), &metadata, as_json)
}

fn show(shared: &Shared, entity: Option<&str>, as_json: bool) -> anyhow::Result<()> {
    let config = shared.load()?;
    let settings = serve::federation(&config);
    let settings = settings.ok_or_else(|| {
        ConfigError::new("No federation is configured. Set federation.name, federation.metadata and federation.anchor.")
    })?;
    let place = match &settings.source {
        Source::File(path) => path,
        Source::Url(_) => &settings.copy,
    };
    let keys = read_anchor(&settings.anchor)?;
    let (verified, metadata) = believed(&read(place)?, &keys, settings.issuer.as_deref())
        .with_context(|| format!("{} is not to be believed", place.display()))?;
    let chosen: Vec<_> = metadata.entities.iter().filter(|one| entity.is_none_or(|id| one.id == id)).collect();
    if let (Some(id), true) = (entity, chosen.is_empty()) {
        anyhow::bail!("there is no entity {id} in the federation {}", settings.name);
    }
    told(&verified, &chosen, &metadata, as_json)
}

fn told(verified: &Verified, entities: &[&Entity], metadata: &Metadata, as_json: bool) -> anyhow::Result<()> {
    let header = &verified.header;
    let (issued, expires) = (output::moment(header.iat * SECOND), output::moment(header.exp * SECOND));
    if as_json {
        output::say(json!({
            "issuer": header.iss, "algorithm": header.alg, "key": header.kid, "thumbprint": verified.signed_by,
            "issuedAt": issued, "expiresAt": expires, "version": metadata.version, "cacheTtl": metadata.cache_ttl,
            "entities": entities.iter().map(|entity| document(entity)).collect::<Vec<_>>(),
        }))?;
        return Ok(());
    }
    output::say(format!("issued by   {}  {issued}, holds until {expires}", header.iss))?;
    output::say(format!("signed with {}  {}, thumbprint {}", header.kid, header.alg, verified.signed_by))?;
    for entity in entities {
        output::say(format!("{}  {}", entity.id, entity.organization.as_deref().unwrap_or_default()))?;
        for (kind, endpoints) in [("server", &entity.servers), ("client", &entity.clients)] {
            for endpoint in endpoints {
                let place = endpoint.base_uri.as_deref().or(endpoint.description.as_deref()).unwrap_or_default();
                output::say(format!("  {kind}  {place}  {}", endpoint.tags.join(" ")))?;
                endpoint
                    .pins
                    .iter()
                    .try_for_each(|pin| output::say(format!("    sha256//{}", STANDARD.encode(pin))))?;
            }
        }
    }
    Ok(())
}

fn document(entity: &Entity) -> Value {
    let endpoint = |endpoint: &Endpoint| {
        let pins: Vec<_> = endpoint.pins.iter().map(|pin| STANDARD.encode(pin)).collect();
        json!({
            "description": endpoint.description, "baseUri": endpoint.base_uri, "tags": endpoint.tags, "pins": pins,
        })
    };
    json!({
        "entity": entity.id, "organization": entity.organization,
        "servers": entity.servers.iter().map(endpoint).collect::<Vec<_>>(),
        "clients": entity.clients.iter().map(endpoint).collect::<Vec<_>>(),
    })
}

fn make_key(file: &Path) -> anyhow::Result<()> {
    let key = SigningKey::generate()?;
    let mut place = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .with_context(|| format!("{} cannot be made", file.display()))?;
    writeln!(place, "{}", pretty(&key.whole()?.into())?)?;
    output::remark(format!("The private key is in {}. Its thumbprint: {}", file.display(), key.id))?;
    Ok(output::say(pretty(&json!({ "keys": [key.published()?] }))?)?)
}

/// The members of all files as one metadata.
fn gathered(files: &[PathBuf], cache_ttl: Option<u64>) -> anyhow::Result<Map<String, Value>> {
    let mut gathered = Map::new();
    gathered.insert("version".into(), "1.0.0".into());
    let mut entities = Vec::new();
    for file in files {
        let no_metadata = || format!("{} is neither metadata nor that of a member", file.display());
        let text: Value = serde_json::from_slice(&read(file)?).with_context(no_metadata)?;
        let Value::Object(mut members) = text else { anyhow::bail!(no_metadata()) };
        match members.remove("entities") {
            Some(Value::Array(further)) => {
                entities.extend(further);
                gathered.extend(members);
            }
            None if members.contains_key("entity_id") => entities.push(members.into()),
            _ => anyhow::bail!(no_metadata()),
        }
    }
    if let Some(seconds) = cache_ttl {
        gathered.insert("cache_ttl".into(), seconds.into());
    }
    gathered.insert("entities".into(), entities.into());
    Ok(gathered)
}

fn signed(metadata: &Map<String, Value>, key: &Path, issuer: &str, hours: i64) -> anyhow::Result<Value> {
    let payload = serde_json::to_vec(metadata)?;
    metadata::parse(&payload).context("the metadata breaks the rules of the schema")?;
    if !metadata::is_uri(issuer) {
        anyhow::bail!("the issuer {issuer} is no URI");
    }
    let no_key = || format!("{} holds no private key of P-256 or Ed25519 as JWK", key.display());
    let jwk: Map<String, Value> = serde_json::from_slice(&read(key)?).with_context(no_key)?;
    let key = SigningKey::read(&jwk).with_context(no_key)?;
    let iat = now() / SECOND;
    let signed = jws::sign(&payload, &key, issuer, iat, iat + hours * HOUR)?;
    // What nobody would believe is not given out.
    let anchor = read_set(&serde_json::to_vec(&json!({ "keys": [key.published()?] }))?)?;
    believed(&serde_json::to_vec(&signed)?, &anchor, Some(issuer))?;
    Ok(signed)
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("{} cannot be read", file.display()))
}

fn pretty(value: &Value) -> serde_json::Result<String> {
    serde_json::to_string_pretty(value)
}
