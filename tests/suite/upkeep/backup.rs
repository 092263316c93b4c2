//! `backup`, `restore` and `restored`: a copy under writes is whole, a restore disturbs nobody, and what was handed out
//! before it expires.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::{cursor, document, filled, followed, seen};
use crate::support::client::Client;
use crate::support::messages::user;
use crate::support::server::{Server, attempt, command};

pub(super) fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_writes_is_whole_and_what_was_handed_out_after_it_expires() {
    let mut server = Server::sqlite();
    let folder = TempDir::new().expect("a folder");
    let (file, url) = (folder.path().join("a backup?.db"), server.database_url().to_owned());
    let token = filled(&server).await;
    let before = seen(&server, &token).await;
    let made = command(&url, &["backup", text(&file)]);
    assert!(made.contains("the tenant storstad") && made.contains("is whole"), "{made}");
    assert_eq!(fs::metadata(&file).expect("the file").permissions().mode() & 0o777, 0o600);
    assert!(attempt(&url, &["backup", text(&file)]).expect_err("it exists").contains("--force"));
    let lasting = file.clone();

    // While many write, a copy holds a moment.
    let api = Client::new(&server.base_url, &token);
    let busy = folder.path().join("busy.db");
    let (writer, other) = (api.clone(), url.clone());
    let writes = tokio::spawn(async move {
        for n in 0..60 {
            assert_eq!(writer.post("/Users", &user(&format!("late{n}"))).await.status, 201);
        }
    });
    let copied = busy.clone();
    let copy = tokio::task::spawn_blocking(move || command(&other, &["backup", text(&copied), "--json"]));
    let (writes, copy) = (writes.await, copy.await.expect("a copy"));
    writes.expect("all were written");
    assert!(copy.contains("\"tenant\":\"storstad\""), "{copy}");
    let looked = command(&format!("sqlite:{}", busy.display()), &["check"]);
    assert!(looked.contains("all is well"), "{looked}");

    let place = cursor(&server, &token).await;
    let used = attempt(&url, &["restore", text(&lasting), "--force"]).expect_err("the server runs");
    assert!(used.contains("is in use"), "{used}");
    assert_eq!(followed(&server, &token, &place).await, "200");
    assert_eq!(server.terminate(), Some(0));

    assert!(attempt(&url, &["restore", text(&lasting)]).expect_err("there is one").contains("--force"));
    let said = command(&url, &["restore", text(&lasting), "--force"]);
    let aside = said.split("lies in ").nth(1).and_then(|rest| rest.split(';').next()).expect("where the old one lies");
    let old = command(&format!("sqlite:{aside}"), &["check"]);
    assert!(old.contains("all is well"), "{old}");
    server.restart();
    assert_eq!(seen(&server, &token).await, before);
    assert_eq!(followed(&server, &token, &place).await, "expiredCursor");
    let first = cursor(&server, &token).await;
    assert!(command(&url, &["check"]).contains("all is well"));

    // The same backup once more: what was handed out in between expires too.
    assert_eq!(followed(&server, &token, &first).await, "200");
    assert_eq!(server.terminate(), Some(0));
    command(&url, &["restore", text(&lasting), "--force", "--json"]);
    server.restart();
    assert_eq!(followed(&server, &token, &first).await, "expiredCursor");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_whole_backup_is_refused_and_changes_nothing() {
    let mut server = Server::sqlite();
    let folder = TempDir::new().expect("a folder");
    let (file, url) = (folder.path().join("good.db"), server.database_url().to_owned());
    let token = filled(&server).await;
    command(&url, &["backup", text(&file)]);
    assert_eq!(server.terminate(), Some(0));
    let good = fs::read(&file).expect("the backup");
    let database = Path::new(url.trim_start_matches("sqlite:"));
    let held = fs::read(database).expect("the database");
    let bad = folder.path().join("bad.db");
    let half = good[..good.len() / 2].to_vec();
    let mut noise = good.clone();
    noise[4096..].iter_mut().step_by(7).for_each(|byte| *byte ^= 0x55);
    for contents in [Vec::new(), b"no database at all".to_vec(), half, noise] {
        fs::write(&bad, contents).expect("a file");
        let said = attempt(&url, &["restore", text(&bad), "--force"]).expect_err("refused");
        assert!(said.contains("no backup of a register"), "{said}");
        assert!(fs::read(database).expect("the database") == held, "the database was touched");
    }
    fs::write(folder.path().join("good.db-wal"), b"something").expect("a file");
    let said = attempt(&url, &["restore", text(&file), "--force"]).expect_err("refused");
    assert!(said.contains("-wal"), "{said}");
    let missing = attempt(&url, &["restore", "no-such-file.db", "--force"]).expect_err("refused");
    assert!(missing.contains("no-such-file.db"), "{missing}");
    let nothing = format!("sqlite:{}", folder.path().join("none.db").display());
    assert!(attempt(&nothing, &["backup", text(&bad)]).expect_err("nothing there").contains("there is no database"));
    server.restart();
    assert_eq!(document(&Client::new(&server.base_url, &token).get("/Users").await)["totalResults"], 6);
}

pub(super) fn tool(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The commands of docs/OPERATIONS.md.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_backed_up_with_its_own_tools() {
    let mut server = Server::postgres();
    let folder = TempDir::new().expect("a folder");
    let (dump, url) = (folder.path().join("matrikel.dump"), server.database_url().to_owned());
    let token = filled(&server).await;
    let before = seen(&server, &token).await;
    for command in [vec!["backup", "here.db"], vec!["restore", "here.db"]] {
        let said = attempt(&url, &command).expect_err("not for PostgreSQL");
        assert!(said.contains("pg_dump") && said.contains("pg_basebackup"), "{said}");
    }
    tool("pg_dump", &["--format=custom", &format!("--file={}", dump.display()), &format!("--dbname={url}")]);
    let api = Client::new(&server.base_url, &token);
    assert_eq!(api.post("/Users", &user("late")).await.status, 201);
    let place = cursor(&server, &token).await;
    assert_eq!(followed(&server, &token, &place).await, "200");
    assert_eq!(server.terminate(), Some(0));

    let into = format!("--dbname={url}");
    tool("pg_restore", &["--clean", "--if-exists", "--no-owner", "--single-transaction", &into, text(&dump)]);
    let said = command(&url, &["restored"]);
    assert!(said.contains("expires, in 1 tenants"), "{said}");
    assert!(command(&url, &["check"]).contains("all is well"));
    server.restart();
    assert_eq!(seen(&server, &token).await, before);
    assert_eq!(followed(&server, &token, &place).await, "expiredCursor");
}
