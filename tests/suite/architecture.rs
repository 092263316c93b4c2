//! The invariants of the house that the sources themselves show: who may use whom, who may do I/O, who knows SQL.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file under a folder, with its path from the work tree's root and its text.
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut open = vec![root().join(folder)];
    let mut found = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(!found.is_empty());
    found
}

/// Lines that are no comment.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//"))
}

/// The names in a section of a manifest.
fn section(manifest: &Path, name: &str) -> Vec<String> {
    let text = fs::read_to_string(manifest).unwrap();
    let lines = text.lines().skip_while(|line| *line != format!("[{name}]")).skip(1);
    lines
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_protocol_depends_on_nothing_that_can_do_io() {
    const PURE: [&str; 9] = [
        "base64",
        "caseless",
        "jiff",
        // Without a loader: a template that is not given does not exist.
        "minijinja",
        "serde",
        "serde_json",
        "sha2",
        "thiserror",
        "unicode-normalization",
    ];
    for dependency in section(&root().join("src/scim/Cargo.toml"), "dependencies") {
        assert!(PURE.contains(&dependency.as_str()), "scim depends on {dependency}");
    }
    for (file, text) in sources("src/scim") {
        for forbidden in ["std::fs", "std::net", "std::env", "std::process", "std::time", "std::thread", "async fn"] {
            // Test cases lie in files.
            let is_test = file.contains("tests") || file.ends_with("cases.rs") || file.ends_with("chaos.rs");
            assert!(is_test || !code(&text).any(|line| line.contains(forbidden)), "{file} uses {forbidden}");
        }
    }
}

#[test]
fn what_follows_by_rule_is_worked_out_without_store_io_or_clock() {
    const PURE: [&str; 5] = ["scim", "jiff", "serde_json", "thiserror", "unicode-normalization"];
    for dependency in section(&root().join("src/provisioning/Cargo.toml"), "dependencies") {
        assert!(PURE.contains(&dependency.as_str()), "provisioning depends on {dependency}");
    }
    for (file, text) in sources("src/provisioning") {
        for forbidden in ["std::fs", "std::net", "std::env", "std::process", "std::time", "std::thread", "async fn"] {
            let is_test = file.contains("tests");
            assert!(is_test || !code(&text).any(|line| line.contains(forbidden)), "{file} uses {forbidden}");
        }
    }
}

#[test]
fn only_the_store_knows_diesel() {
    for (file, text) in sources("src") {
        let names = code(&text).any(|line| line.contains("diesel"));
        assert!(!names || file.starts_with("src/store/"), "{file} names diesel");
    }
    assert!(!section(&root().join("Cargo.toml"), "dependencies").iter().any(|name| name.starts_with("diesel")));
}

#[test]
fn every_statement_on_a_tenants_table_names_the_tenant() {
    const TABLES: [&str; 24] = [
        "erasure",
        "guard_count",
        "guard_pass",
        "due",
        "grant_",
        "tombstone",
        "lease",
        "tenant_clock",
        "resource",
        "attr_path",
        "attr_index",
        "unique_key",
        "external_id",
        "membership",
        "sweep",
        "change",
        "change_member",
        "credential",
        "seal_key",
        "deferred",
        "deferred_outcome",
        "import_state",
        "feed_record",
        "run_item",
    ];
    let mut seen = 0;
    for (file, text) in sources("src/store") {
        let words: Vec<&str> =
            text.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|w| !w.is_empty()).collect();
        for (place, pair) in words.windows(2).enumerate() {
            if !(["FROM", "INTO", "UPDATE", "JOIN"].contains(&pair[0]) && TABLES.contains(&pair[1])) {
                continue;
            }
            seen += 1;
            let nothing = words[place + 2..].starts_with(&["WHERE", "1", "0"]);
            let all_tenants = words[place.saturating_sub(3)..place] == ["SELECT", "DISTINCT", "tenant_id"];
            let named = words[place.saturating_sub(25)..].iter().take(65).any(|word| *word == "tenant_id");
            assert!(nothing || all_tenants || named, "{file}: a statement on {} without its tenant", pair[1]);
        }
    }
    assert!(seen > 30, "{seen} statements seen");
}

/// Which modules of the program each may use, as the design has it. `telemetry` and `config` are at the bottom.
const ARROWS: &[(&str, &[&str])] = &[
    ("cli", &["http", "console", "intake", "sync", "schedule", "config", "jose"]),
    ("http", &["auth", "directory", "intake", "jose", "network"]),
    ("console", &["auth", "directory"]),
    ("intake", &["provisioning", "directory"]),
    ("sync", &["directory", "provisioning"]),
    ("schedule", &["directory"]),
    ("auth", &["store", "jose"]),
    ("jose", &["scim"]),
    ("directory", &["provisioning", "store", "scim", "jose", "network"]),
    ("provisioning", &["scim"]),
    ("linkage", &["scim"]),
    ("config", &["network"]),
    ("network", &[]),
    ("telemetry", &[]),
    ("trace", &[]),
];

/// Arrows that the code has and the design does not: each is to be taken out, or into the design.
const BESIDE_THE_DESIGN: &[(&str, &str)] = &[
    ("auth", "directory"),
    ("auth", "scim"),
    ("cli", "auth"),
    ("cli", "directory"),
    ("cli", "provisioning"),
    ("cli", "scim"),
    ("cli", "store"),
    ("cli", "telemetry"),
    ("cli", "trace"),
    ("directory", "trace"),
    ("http", "scim"),
    ("http", "store"),
    ("http", "trace"),
    ("intake", "scim"),
    ("intake", "store"),
    ("telemetry", "config"),
];

/// The modules of the program, and its inner crates, that a text names in paths: `crate::a::…`, `crate::{a, b::c}`,
/// `store::…`.
fn used(text: &str, is_inner: bool) -> BTreeSet<String> {
    let text: String = code(text).collect::<Vec<_>>().join("\n");
    let mut used = BTreeSet::new();
    let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    for (prefix, is_crate) in [("crate::", true), ("store::", false), ("scim::", false), ("provisioning::", false)] {
        for (at, _) in text.match_indices(prefix) {
            let before = text[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') || (is_crate && is_inner) {
                continue;
            }
            let rest = &text[at + prefix.len()..];
            match rest.strip_prefix('{') {
                _ if !is_crate => drop(used.insert(prefix.trim_end_matches(':').to_owned())),
                None => drop(used.insert(name(rest))),
                Some(list) => {
                    let mut depth = 0;
                    let mut names = vec![String::new()];
                    for c in list.chars() {
                        match c {
                            '{' => depth += 1,
                            '}' if depth == 0 => break,
                            '}' => depth -= 1,
                            ',' if depth == 0 => names.push(String::new()),
                            c => names.last_mut().unwrap().push(c),
                        }
                    }
                    used.extend(names.iter().map(|text| name(text.trim())));
                }
            }
        }
    }
    // A capital letter begins a type, which lies in the crate's root.
    used.retain(|name| name.chars().next().is_some_and(char::is_lowercase));
    used
}

#[test]
fn modules_use_only_what_lies_below_them() {
    let arrows: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    let mut beside = BTreeSet::new();
    for (file, text) in sources("src") {
        let path = file.strip_prefix("src/").unwrap();
        let module = path.split(['/', '.']).next().unwrap();
        let allowed: &[&str] = match module {
            "main" | "lib" => continue,
            "scim" => &[],
            "store" | "provisioning" => &["scim"],
            module => arrows.get(module).unwrap_or_else(|| panic!("src/{module} has no place among the arrows")),
        };
        for used in used(&text, matches!(module, "scim" | "store" | "provisioning")) {
            if used != module && !allowed.contains(&used.as_str()) {
                beside.insert((module.to_owned(), used));
            }
        }
    }
    let known: BTreeSet<_> =
        BESIDE_THE_DESIGN.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect();
    assert_eq!(
        beside, known,
        "arrows that the design does not have; those that are gone are to be struck off the list"
    );
}

#[test]
fn paths_are_read_however_they_are_written() {
    let text = "use crate::{auth::{Role, x}, http, Thing};\n// use crate::cli;\nlet a = crate::config::b; my_store::c(); store::d()";
    assert_eq!(used(text, false).into_iter().collect::<Vec<_>>(), ["auth", "config", "http", "store"]);
}
