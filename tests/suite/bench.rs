//! The load driver works on both kinds of start: it measures everything on a small register, finds every answer right, and
//! says when one is not. How fast anything was is nobody's business here.

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::server::Server;

fn bench(folder: &TempDir, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_matrikel"));
    program.current_dir(folder.path()).arg("bench").args(["--people", "200", "--rounds", "1", "--time", "20"]);
    program.args(["--folder", "."]).args(arguments);
    let Output { status, stdout, stderr } = program.output().expect("the program runs");
    (status.code(), String::from_utf8(stdout).expect("text"), String::from_utf8(stderr).expect("text"))
}

fn report(folder: &TempDir) -> Value {
    let text = fs::read_to_string(folder.path().join("report.json")).expect("the report");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn every_scenario_is_measured_and_every_answer_right() {
    let folder = TempDir::new().expect("a folder");
    let (code, said, complained) = bench(&folder, &["--json", "report.json", "--connections", "4"]);
    assert_eq!(code, Some(0), "{said}\n{complained}");
    let report = report(&folder);
    assert_eq!(report["faults"], 0);
    let (_, listed, _) = bench(&folder, &["--list"]);
    let figures = report["figures"].as_array().expect("figures");
    for name in listed.lines().filter_map(|line| line.split(' ').next()) {
        let own = figures.iter().find(|figure| figure["scenario"] == name && figure["arm"] == "");
        let own = own.unwrap_or_else(|| panic!("no figure of {name}"));
        assert!(own["done"].as_u64().is_some_and(|done| done > 0) && own["wrong"] == 0, "{own}");
    }
    assert!(figures.iter().any(|figure| figure["arm"] == "raw handler"));
    assert!(figures.iter().any(|figure| figure["arm"] == "raw SQLite, 100 a commit"));
    let register = &report["registers"][0];
    assert_eq!((register["people"].as_u64(), register["lost"].as_u64()), (Some(200), Some(0)));
    assert!(register["readBack"].as_u64().is_some_and(|count| count > 200), "{register}");
    let left: Vec<_> =
        fs::read_dir(folder.path()).expect("the folder").flatten().map(|file| file.file_name()).collect();
    assert_eq!(left, ["report.json"], "nothing else is left");
}

#[test]
fn a_register_is_copied_while_it_is_served_and_is_whole_when_it_is_restored() {
    let folder = TempDir::new().expect("a folder");
    let (code, said, complained) = bench(&folder, &["--whole", "--json", "report.json"]);
    assert_eq!(code, Some(0), "{said}\n{complained}");
    let report = report(&folder);
    assert_eq!((report["people"].as_u64(), report["groups"].as_u64()), (Some(200), Some(40)));
    assert!(report["memberships"].as_u64().is_some_and(|count| count > 1_000), "{report}");
    assert!(report["readsWhileCopied"].as_u64().is_some_and(|count| count > 0), "{report}");
    assert_eq!(report["stages"].as_array().map(Vec::len), Some(3));
}

#[test]
fn whoever_kept_the_cores_awake_is_gone_when_all_is_measured() {
    let folder = TempDir::new().expect("a folder");
    // Its output ends with the last process that holds it.
    let (code, said, complained) = bench(&folder, &["--awake", "--only", "get", "--json", "report.json"]);
    assert_eq!(code, Some(0), "{said}\n{complained}");
    assert!(said.contains("cores kept awake"), "{said}");
    assert_eq!(report(&folder)["facts"]["awake"], true);
}

#[test]
fn a_kept_register_is_used_again_as_it_was() {
    let folder = TempDir::new().expect("a folder");
    for found in [false, true] {
        let (code, said, complained) = bench(&folder, &["--keep", "kept", "--only", "get,patch,create"]);
        assert_eq!(code, Some(0), "{said}\n{complained}");
        assert_eq!(complained.contains("Found 200 people"), found, "{complained}");
    }
}

#[test]
fn a_server_that_runs_already_is_measured_and_a_wrong_answer_is_told() {
    let folder = TempDir::new().expect("a folder");
    let server = Server::sqlite();
    let token = server.tenant("measured");
    let there = ["--url", server.base_url.as_str(), "--token", token.as_str(), "--json", "report.json"];
    let (code, said, complained) = bench(&folder, &[&there[..], &["--only", "get,by-username"]].concat());
    assert_eq!(code, Some(0), "{said}\n{complained}");
    assert!(!said.contains(&token), "the token is in the table");
    let (code, _, complained) = bench(&folder, &there);
    assert_eq!(code, Some(1));
    assert!(complained.contains("people already"), "{complained}");

    // Whoever is read is not what was written.
    let token = server.tenant("wrong");
    server.execute(
        "CREATE TRIGGER wrong AFTER INSERT ON resource WHEN NEW.kind = 'User' BEGIN \
         UPDATE resource SET doc = replace(doc, 'Coordinator', 'Impostor') WHERE resource_id = NEW.resource_id; END",
    );
    let there = ["--url", server.base_url.as_str(), "--token", token.as_str(), "--json", "report.json"];
    let (code, said, complained) = bench(&folder, &[&there[..], &["--only", "get,create"]].concat());
    assert_eq!(code, Some(1), "{said}\n{complained}");
    assert!(said.contains("title of"), "{said}");
}

#[test]
fn a_year_of_files_rules_and_days_is_measured_at_every_size() {
    let folder = TempDir::new().expect("a folder");
    let (code, said, complained) = bench(&folder, &["--year", "--people", "100", "--json", "report.json"]);
    assert_eq!(code, Some(0), "{said}\n{complained}");
    let report = report(&folder);
    let figures = report.as_array().expect("figures");
    for what in [
        "a first load, held and allowed",
        "a full snapshot with nothing changed",
        "a full snapshot with a hundredth changed",
        "a rule is activated that touches two thirds",
        "a day on which a hundredth falls due",
    ] {
        let of = |size: u64| figures.iter().find(|figure| figure["size"] == size && figure["what"] == what);
        for size in [100, 200] {
            let figure = of(size).unwrap_or_else(|| panic!("no {what} at {size}: {report}"));
            assert!(figure["people"].as_u64().is_some_and(|people| people > 0), "{figure}");
            assert!(figure["microsecondsEach"].as_f64().is_some_and(|time| time > 0.0), "{figure}");
            assert!(figure["memoryMiB"].as_f64().is_some_and(|memory| memory > 1.0), "{figure}");
        }
        assert_eq!(said.matches(what).count(), 3, "at each size, and one against the other: {said}");
    }
    assert!(said.contains("200 people to 100") && said.contains("people/s") && said.contains("µs CPU"), "{said}");
}
