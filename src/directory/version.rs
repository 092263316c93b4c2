//! Entity tags and preconditions (RFC 7644 section 3.14, RFC 9110 section 13).
//!
//! A tag is `W/"version.digest"`: the version of what is stored, and a digest of what is derived for the caller.
//! `If-Match` guards a write and compares the version alone; `If-None-Match` saves an answer and compares all of it.

/// The tags of an `If-Match` or `If-None-Match` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tags {
    /// `*`: any version.
    Any,
    /// One of these, opaque parts without quotes and weakness.
    Each(Vec<String>),
}

impl Tags {
    /// Reads a header value. Fails with 400 invalidSyntax when it is not a list of entity tags.
    pub fn parse(header: &str) -> Result<Self, scim::Error> {
        if header.trim() == "*" {
            return Ok(Tags::Any);
        }
        let mut tags = Vec::new();
        let mut rest = header.trim();
        while !rest.is_empty() {
            let tag = rest.strip_prefix("W/").unwrap_or(rest);
            let (opaque, after) = tag
                .strip_prefix('"')
                .and_then(|tag| tag.split_once('"'))
                .ok_or_else(|| scim::Error::invalid_syntax("An entity tag has to stand in double quotes."))?;
            tags.push(opaque.to_owned());
            rest = after.trim_start();
            rest = match rest.strip_prefix(',') {
                Some(next) => next.trim_start(),
                None if rest.is_empty() => rest,
                None => return Err(scim::Error::invalid_syntax("Entity tags have to be parted by commas.")),
            };
        }
        Ok(Tags::Each(tags))
    }

    /// Whether a version is among them, whatever is derived.
    pub fn match_version(&self, version: i64) -> bool {
        match self {
            Tags::Any => true,
            Tags::Each(tags) => {
                tags.iter().any(|tag| tag.split('.').next().is_some_and(|first| first.parse() == Ok(version)))
            }
        }
    }

    /// Whether a whole entity tag, as it stands on the wire, is among them.
    pub fn match_whole(&self, etag: &str) -> bool {
        match self {
            Tags::Any => true,
            Tags::Each(tags) => {
                let opaque = etag.trim_start_matches("W/").trim_matches('"');
                tags.iter().any(|tag| tag == opaque)
            }
        }
    }
}

/// What must hold for a request to be carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Precondition {
    /// The resource must be at one of these versions.
    pub if_match: Option<Tags>,
    /// The caller has these answers already.
    pub if_none_match: Option<Tags>,
}

impl Precondition {
    /// Anything goes.
    pub fn none() -> Self {
        Precondition::default()
    }

    /// Fails with [`store::Error::Stale`] when a write must not touch this version.
    pub(super) fn check(&self, version: i64) -> Result<(), store::Error> {
        let misses = self.if_match.as_ref().is_some_and(|tags| !tags.match_version(version));
        let hits = self.if_none_match.as_ref().is_some_and(|tags| tags.match_version(version));
        if misses || hits { Err(store::Error::Stale) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_weak_strong_and_in_lists() {
        assert_eq!(Tags::parse(" * ").expect("any"), Tags::Any);
        let tags = Tags::parse("W/\"3.ab\", \"4.cd\"").expect("a list");
        assert_eq!(tags, Tags::Each(vec!["3.ab".into(), "4.cd".into()]));
        assert!(Tags::parse("3.ab").is_err());
        assert!(Tags::parse("\"3\" \"4\"").is_err());
    }

    #[test]
    fn if_match_compares_the_version_and_if_none_match_all_of_it() {
        let tags = Tags::parse("W/\"3.ab\"").expect("a tag");
        assert!(tags.match_version(3) && !tags.match_version(30) && !tags.match_version(4));
        assert!(tags.match_whole("W/\"3.ab\"") && !tags.match_whole("W/\"3.cd\""));
    }
}
