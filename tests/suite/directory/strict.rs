//! The strict profiles refuse what the default one understands, and what all of them must do they do alike.

use std::sync::Arc;

use matrikel::directory::{Ctx, Profile};
use serde_json::{Value, json};

use crate::support::both::on_both_databases;
use crate::support::messages::{patch, user, user_with};
use crate::support::register::{Register, body, refusal};

on_both_databases!(Register:
    a_strict_profile_refuses_what_the_default_one_understands,
    a_complex_value_is_merged_or_replaced_as_the_profile_says,
);

fn as_profile(register: &Register, profile: Profile) -> Ctx {
    let mut ctx = register.ctx();
    Arc::make_mut(&mut ctx.caller).profile = profile;
    ctx
}

async fn a_strict_profile_refuses_what_the_default_one_understands(register: &Register) {
    let id = register.made("User", user_with("anna", &json!({ "title": "a" }))).await;
    let bodies = [
        user_with("anna", &json!({ "favouriteColour": "blue" })),
        user_with("anna", &json!({ "urn:example:unknown:2.0:User": { "a": 1 } })),
        user_with("anna", &json!({ "active": "True" })),
    ];
    let patches = [
        json!([{ "op": "replace", "value": { "title": "b" } }]),
        json!([{ "op": "Replace", "path": "title", "value": "b" }]),
        json!([{ "op": "replace", "path": "active", "value": "False" }]),
    ];
    for profile in [Profile::Interop01, Profile::Ipsie] {
        let head = register.head().await;
        let mut new = bodies.clone();
        new.iter_mut().for_each(|body| body["userName"] = json!("new"));
        for (replacing, creating) in bodies.iter().zip(new) {
            let error = register.replace(&as_profile(register, profile), "User", &id, replacing.clone()).await;
            assert_eq!(refusal(&error.expect_err("strict")).0, 400, "{profile:?} {replacing}");
            let error = register.create(&as_profile(register, profile), "User", creating.clone()).await;
            assert_eq!(refusal(&error.expect_err("strict")).0, 400, "{profile:?} {creating}");
        }
        let unknown = register.replace(&as_profile(register, profile), "User", &id, bodies[0].clone()).await;
        assert_eq!(refusal(&unknown.expect_err("strict")), (400, json!("invalidSyntax")));
        for operations in &patches {
            let error = register.patch(&as_profile(register, profile), "User", &id, patch(operations)).await;
            assert_eq!(refusal(&error.expect_err("strict")).0, 400, "{profile:?} {operations}");
        }
        assert_eq!(register.head().await, head);
    }
    for body in bodies {
        let written = register.replace(&as_profile(register, Profile::Rfc), "User", &id, body.clone()).await;
        assert!(!written.expect("understood").tolerances.is_empty(), "and noted: {body}");
    }
    for operations in patches {
        register.patch(&as_profile(register, Profile::Rfc), "User", &id, patch(&operations)).await.expect("understood");
    }
}

async fn a_complex_value_is_merged_or_replaced_as_the_profile_says(register: &Register) {
    let operations = patch(&json!([{ "op": "replace", "path": "name", "value": { "familyName": "Berg" } }]));
    for (profile, name, given) in [
        (Profile::Rfc, "merged", json!("Anna")),
        (Profile::Egil, "merged-too", json!("Anna")),
        (Profile::Interop01, "whole", Value::Null),
        (Profile::Ipsie, "whole-too", Value::Null),
    ] {
        let full = user_with(name, &json!({ "name": { "givenName": "Anna", "familyName": "Å" } }));
        let id = register.made("User", full).await;
        let written =
            register.patch(&as_profile(register, profile), "User", &id, operations.clone()).await.expect("patched");
        assert_eq!(body(&written)["name"]["familyName"], "Berg");
        assert_eq!(body(&written)["name"].get("givenName").cloned().unwrap_or_default(), given, "{profile:?}");
    }
    register.made("User", user("plain")).await;
}
