//! Many clients at once over HTTP: nothing that was acknowledged is lost, and nothing is won twice.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use tokio::task::JoinSet;

use crate::support::both::on_both_databases;
use crate::support::client::{Answer, Client};
use crate::support::messages::{add_members, group, set, user};
use crate::support::server::Server;

on_both_databases!(Server:
    members_added_at_once_are_all_kept,
    each_version_of_a_user_is_won_once,
    one_name_is_given_once,
    a_name_is_deleted_and_taken_again_many_times_at_once,
    the_newest_tag_never_names_an_older_answer,
);

const WRITERS: usize = 64;

/// Runs the futures at once and returns their answers in no order.
async fn at_once<F>(requests: impl IntoIterator<Item = F>) -> Vec<Answer>
where
    F: Future<Output = Answer> + Send + 'static,
{
    requests.into_iter().collect::<JoinSet<_>>().join_all().await
}

fn count(answers: &[Answer]) -> BTreeMap<u16, usize> {
    let mut statuses = BTreeMap::new();
    answers.iter().for_each(|answer| *statuses.entry(answer.status).or_default() += 1);
    statuses
}

async fn members_added_at_once_are_all_kept(server: &Server) {
    let client = Client::new(&server.base_url, &server.tenant("town"));
    let users = at_once((0..WRITERS).map(|n| {
        let client = client.clone();
        async move { client.post("/Users", &user(&format!("user{n}"))).await }
    }))
    .await;
    assert_eq!(count(&users), BTreeMap::from([(201, WRITERS)]));
    let users: BTreeSet<String> = users.iter().map(Answer::id).collect();
    let path = format!("/Groups/{}", client.post("/Groups", &group("all", &[])).await.expect(201).id());

    let answers = at_once(users.iter().cloned().map(|id| {
        let (client, path) = (client.clone(), path.clone());
        async move { client.patch(&path, &add_members(&[&id])).await }
    }))
    .await;

    assert_eq!(count(&answers), BTreeMap::from([(204, WRITERS)]));
    let versions: BTreeSet<i64> = answers.iter().map(Answer::version).collect();
    assert_eq!(versions, (2..=1 + WRITERS as i64).collect(), "every change has a version of its own");
    let group = client.get(&path).await.expect(200);
    assert_eq!(group.version(), 1 + WRITERS as i64);
    let members = group.json()["members"].as_array().expect("members").clone();
    let members: Vec<String> =
        members.iter().map(|member| member["value"].as_str().expect("an id").to_owned()).collect();
    assert_eq!(members.len(), WRITERS, "nobody twice");
    assert_eq!(members.into_iter().collect::<BTreeSet<_>>(), users);
}

async fn each_version_of_a_user_is_won_once(server: &Server) {
    let client = Client::new(&server.base_url, &server.tenant("town"));
    let path = format!("/Users/{}", client.post("/Users", &user("contested")).await.expect(201).id());
    let mut winners = Vec::new();
    for round in 1..=3 {
        let etag = client.get(&path).await.expect(200).header("etag").to_owned();
        let answers = at_once((0..WRITERS).map(|n| {
            let (client, path, etag) = (client.clone(), path.clone(), etag.clone());
            async move { client.patch_if(&path, &etag, &set("title", &json!(format!("{round}-{n}")))).await }
        }))
        .await;
        assert_eq!(count(&answers), BTreeMap::from([(200, 1), (412, WRITERS - 1)]));
        let winner = answers.iter().find(|answer| answer.status == 200).expect("one");
        assert_eq!(winner.version(), round + 1);
        winners.push(winner.json()["title"].clone());
        assert_eq!(client.get(&path).await.json()["title"], *winners.last().expect("one"));
    }
    // Whoever reads again and retries gets through in the end, and no title is overwritten unseen.
    let answers = at_once((0..8).map(|n| {
        let (client, path) = (client.clone(), path.clone());
        async move {
            loop {
                let etag = client.get(&path).await.expect(200).header("etag").to_owned();
                let answer = client.patch_if(&path, &etag, &set("nickName", &json!(n.to_string()))).await;
                if answer.status != 412 {
                    return answer;
                }
            }
        }
    }))
    .await;
    let versions: BTreeSet<i64> = answers.into_iter().map(|answer| answer.expect(200).version()).collect();
    assert_eq!(versions, (5..=12).collect());
}

async fn one_name_is_given_once(server: &Server) {
    let client = Client::new(&server.base_url, &server.tenant("town"));
    let answers = at_once((0..WRITERS).map(|n| {
        let client = client.clone();
        // The same name in another case is the same name.
        let name = if n % 2 == 0 { "Only.One" } else { "only.one" };
        async move { client.post("/Users", &user(name)).await }
    }))
    .await;
    assert_eq!(count(&answers), BTreeMap::from([(201, 1), (409, WRITERS - 1)]));
    for refused in answers.iter().filter(|answer| answer.status == 409) {
        assert_eq!(refused.json()["scimType"], "uniqueness");
    }
    let winner = answers.iter().find(|answer| answer.status == 201).expect("one").id();
    let found = client.find("/Users", &[("filter", "userName eq \"ONLY.ONE\"")]).await.expect(200);
    assert_eq!(found.ids(), [winner]);
}

async fn a_name_is_deleted_and_taken_again_many_times_at_once(server: &Server) {
    let client = Client::new(&server.base_url, &server.tenant("town"));
    let first = client.post("/Users", &user("phoenix")).await.expect(201).id();
    let answers = at_once((0..WRITERS).map(|_| {
        let client = client.clone();
        async move {
            // Whoever holds the name now is deleted; somebody else may be faster with that, or with the name.
            let holder = client.find("/Users", &[("filter", "userName eq \"phoenix\"")]).await.expect(200);
            for id in holder.ids() {
                let gone = client.delete(&format!("/Users/{id}")).await;
                assert!([204, 404].contains(&gone.status), "{}", gone.text);
            }
            client.post("/Users", &user("phoenix")).await
        }
    }))
    .await;
    let statuses = count(&answers);
    assert!(statuses.keys().all(|status| [201, 409].contains(status)), "{statuses:?}");
    let made: BTreeSet<String> = answers.iter().filter(|answer| answer.status == 201).map(Answer::id).collect();
    assert_eq!(made.len(), statuses.get(&201).copied().unwrap_or_default(), "every life has an id of its own");
    assert!(!made.contains(&first), "an id does not come back");
    let living = client.find("/Users", &[("filter", "userName eq \"phoenix\"")]).await.expect(200).ids();
    assert!(living.len() == 1 && made.contains(&living[0]), "one of them lives: {living:?}");
    for id in made.iter().chain([&first]).filter(|id| **id != living[0]) {
        client.get(&format!("/Users/{id}")).await.expect(404);
    }
    let all = client.get("/Users?count=0").await.expect(200);
    assert_eq!(all.json()["totalResults"], 1);
}

/// Regression: the number of the newest nesting was once read after the groups, so that a fetch during a rename could
/// show the old name under the new tag, and a client that trusted the tag kept it.
async fn the_newest_tag_never_names_an_older_answer(server: &Server) {
    let client = Client::new(&server.base_url, &server.tenant("town"));
    let anna = client.post("/Users", &user("anna")).await.expect(201).id();
    let crew = client.post("/Groups", &group("crew", &[&anna])).await.expect(201).id();
    let outer = client.post("/Groups", &group("outer", &[&crew])).await.expect(201).id();
    let (anna, crew, outer) = (format!("/Users/{anna}"), format!("/Groups/{crew}"), format!("/Groups/{outer}"));
    for round in 0..12 {
        let writes = [(crew.clone(), format!("crew {round}")), (outer.clone(), format!("outer {round}"))];
        let writers = writes.into_iter().map(|(path, name)| {
            let client = client.clone();
            tokio::spawn(async move { client.patch(&path, &set("displayName", &json!(name))).await.expect(204) })
        });
        let writers: Vec<_> = writers.collect();
        let seen = at_once((0..24).map(|n| {
            let (client, path) = (client.clone(), if n % 3 == 0 { crew.clone() } else { anna.clone() });
            async move { client.get(&path).await.expect(200) }
        }))
        .await;
        for writer in writers {
            writer.await.expect("written");
        }
        for path in [&anna, &crew] {
            let newest = client.get(path).await.expect(200);
            for answer in seen.iter().filter(|answer| answer.header("etag") == newest.header("etag")) {
                if answer.header("location") == newest.header("location") {
                    assert_eq!(answer.text, newest.text);
                }
            }
        }
    }
}
