//! The invariants of the house that the sources themselves show: who may use whom, who may do I/O, who knows SQL.

use std::collections::BTreeMap;
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
    const PURE: [&str; 8] =
        ["base64", "caseless", "jiff", "serde", "serde_json", "sha2", "thiserror", "unicode-normalization"];
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
fn only_the_store_knows_diesel() {
    for (file, text) in sources("src") {
        let names = code(&text).any(|line| line.contains("diesel"));
        assert!(!names || file.starts_with("src/store/"), "{file} names diesel");
    }
    assert!(!section(&root().join("Cargo.toml"), "dependencies").iter().any(|name| name.starts_with("diesel")));
}

#[test]
fn every_statement_on_a_tenants_table_names_the_tenant() {
    const TABLES: [&str; 11] = [
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

/// Which modules of the program each may use. A module that is not named here may be used by `main` alone.
const ARROWS: &[(&str, &[&str])] = &[
    (
        "cli",
        &[
            "http",
            "console",
            "intake",
            "sync",
            "bridge",
            "linkage",
            "schedule",
            "config",
            "telemetry",
            "auth",
            "directory",
            "provisioning",
            "store",
            "scim",
        ],
    ),
    ("http", &["auth", "directory", "config", "telemetry", "store", "scim"]),
    ("console", &["auth", "directory", "config", "telemetry", "store", "scim"]),
    ("schedule", &["directory", "config", "telemetry", "store", "scim"]),
    ("intake", &["provisioning", "directory", "store", "scim"]),
    ("sync", &["directory", "provisioning", "bridge", "store", "scim"]),
    ("bridge", &["directory", "provisioning", "store", "scim"]),
    ("auth", &["store", "scim"]),
    ("directory", &["provisioning", "store", "scim"]),
    ("provisioning", &["scim"]),
    ("linkage", &["scim"]),
    ("config", &["store"]),
    ("telemetry", &["config"]),
];

#[test]
fn modules_use_only_what_lies_below_them() {
    let arrows: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    for (file, text) in sources("src") {
        let path = file.strip_prefix("src/").unwrap();
        let module = path.split(['/', '.']).next().unwrap();
        let (allowed, inner): (&[&str], bool) = match module {
            "main" | "lib" => continue,
            "scim" => (&[], true),
            "store" => (&["scim"], true),
            module => {
                (arrows.get(module).unwrap_or_else(|| panic!("src/{module} has no place among the arrows")), false)
            }
        };
        for line in code(&text) {
            for (prefix, known) in [("crate::", !inner), ("store::", module != "store"), ("scim::", module != "scim")] {
                for (at, _) in line.match_indices(prefix).filter(|_| known) {
                    let before = line[..at].chars().next_back();
                    if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                        continue;
                    }
                    let rest = if prefix == "crate::" { &line[at + prefix.len()..] } else { &line[at..] };
                    let used: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                    let is_module = used.chars().next().is_some_and(char::is_lowercase);
                    assert!(
                        !is_module || used == module || allowed.contains(&used.as_str()),
                        "{file} uses {used}: {line}"
                    );
                }
            }
        }
    }
}
