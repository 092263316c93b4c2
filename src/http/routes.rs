//! The whole URL space on one page. Which resource types there are is data: `{endpoint}` is looked up in the registry.
//! A method that a path does not have is 405 with `Allow`, an unknown path 404; OPTIONS names a path's methods.

use actix_web::guard;
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpResponse, Resource, Route, web};

use super::error::Failure;
use super::scim::{
    bulk, credentials, discovery, feeds, licences, report, resources, search, simulations, sources, types, views, why,
};
use super::{Answer, health, oauth, respond};

/// What discovery has for everyone.
pub(super) const READ: &str = "GET, HEAD, OPTIONS";
const POST: &str = "POST, OPTIONS";
const DOCUMENT: &str = "GET, HEAD, PUT, DELETE, OPTIONS";
pub(super) const MANY: &str = "GET, HEAD, POST, OPTIONS";
const CREDENTIAL: &str = "DELETE, OPTIONS";
const MEMBERSHIP: &str = "GET, HEAD, DELETE, OPTIONS";
const RUN: &str = "GET, HEAD, PATCH, DELETE, OPTIONS";
const FEED: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
const RESOURCE: &str = "GET, HEAD, PUT, PATCH, DELETE, OPTIONS";

/// The path of a request as it stands here, for its log line: to look it up again would cost as much as the routing.
#[derive(Clone, Copy)]
pub(super) struct Pattern(pub(super) &'static str);

/// Registers every path. The order matters: a fixed name stands before `{endpoint}`.
pub(super) fn all(config: &mut web::ServiceConfig) {
    config
        .service(path("/healthz", READ).route(get().to(health::alive)))
        .service(path("/readyz", READ).route(get().to(health::ready)))
        // What is asked for most, found before all fixed names: each pattern that is tried first takes time.
        .service(one_resource().guard(guard::fn_guard(is_of_users_or_groups)))
        .service(many_resources().guard(guard::fn_guard(is_of_users_or_groups)))
        // RFC 6749 section 4.4, RFC 7517 section 5, RFC 8414 section 3
        .service(path("/oauth/token", POST).route(post().to(oauth::token)))
        .service(path("/oauth/jwks", READ).route(get().to(oauth::key_set)))
        .service(path("/.well-known/oauth-authorization-server", READ).route(get().to(oauth::metadata)))
        // RFC 7644 section 4
        .service(path("/scim/v2/ServiceProviderConfig", READ).route(get().to(discovery::service_provider_config)))
        .service(path("/scim/v2/Schemas", MANY).route(get().to(discovery::schemas)).route(post().to(types::add_schema)))
        .service(
            path("/scim/v2/Schemas/{urn}", DOCUMENT)
                .route(get().to(discovery::schema))
                .route(put().to(types::replace_schema))
                .route(delete().to(types::remove_schema)),
        )
        .service(
            path("/scim/v2/ResourceTypes", MANY)
                .route(get().to(discovery::resource_types))
                .route(post().to(types::add_resource_type)),
        )
        .service(
            path("/scim/v2/ResourceTypes/{name}", RESOURCE)
                .route(get().to(discovery::resource_type))
                .route(put().to(types::replace_resource_type))
                .route(patch().to(types::patch_resource_type))
                .route(delete().to(types::remove_resource_type)),
        )
        // RFC 7644 section 3.7
        .service(path("/scim/v2/Bulk", POST).route(post().to(bulk::carry_out)))
        // RFC 9967 section 2.5.1
        .service(path("/scim/v2/Bulk/{id}", READ).route(get().to(bulk::result)))
        // RFC 7644 section 3.11: the caller itself may be read
        .service(path("/scim/v2/Me", READ).route(get().to(resources::me)))
        // RFC 7644 sections 3.4.2.1 and 3.4.3
        .service(path("/scim/v2", READ).route(get().to(search::everything)))
        .service(path("/scim/v2/.search", POST).route(post().to(search::everything_by_body)))
        .service(path("/scim/v2/{endpoint}/.search", POST).route(post().to(search::by_body)))
        // draft-zollner-scim-group-members: a membership is made and unmade, never changed
        .service(
            path("/scim/v2/{endpoint:GroupMemberships}/{id}", MEMBERSHIP)
                .route(get().to(resources::fetch))
                .route(delete().to(resources::remove)),
        )
        // what was done and what was denied: read by administrators, written by nobody
        .service(path("/scim/v2/{endpoint:AuditEvents}", READ).route(get().to(search::by_query)))
        .service(path("/scim/v2/{endpoint:AuditEvents}/{id}", READ).route(get().to(resources::fetch)))
        .service(path("/scim/v2/Clients/{id}/credentials", POST).route(post().to(credentials::add)))
        .service(
            path("/scim/v2/Clients/{id}/credentials/{credential}", CREDENTIAL).route(delete().to(credentials::revoke)),
        )
        // what the clients of a view see
        .service(path("/scim/v2/{endpoint:Views}/{id}/preview", READ).route(get().to(views::preview)))
        // whose values they are, where several sources may say
        .service(path("/scim/v2/{endpoint:Users}/{id}/sources", READ).route(get().to(sources::answer)))
        // because of what somebody has what, or has it not
        .service(path("/scim/v2/{endpoint:Users}/{id}/why", READ).route(get().to(why::answer)))
        // files that sources send, and what becomes of them
        .service(
            path("/scim/v2/{endpoint:Feeds}/{id}", FEED)
                .route(get().to(resources::fetch))
                .route(post().to(feeds::receive))
                .route(put().to(resources::replace))
                .route(patch().to(resources::patch))
                .route(delete().to(resources::remove)),
        )
        .service(path("/scim/v2/{endpoint:Runs}", READ).route(get().to(search::by_query)))
        .service(
            path("/scim/v2/{endpoint:Runs}/{id}", RUN)
                .route(get().to(feeds::fetch))
                .route(patch().to(feeds::decide))
                .route(delete().to(resources::remove)),
        )
        .service(path("/scim/v2/{endpoint:Runs}/{id}/items", READ).route(get().to(feeds::items)))
        // what rules would make of everybody
        .service(
            path("/scim/v2/{endpoint:Simulations}", MANY)
                .route(get().to(search::by_query))
                .route(post().to(simulations::create)),
        )
        .service(
            path("/scim/v2/{endpoint:Simulations}/{id}", RESOURCE)
                .route(get().to(resources::fetch))
                .route(put().to(simulations::replace))
                .route(patch().to(simulations::patch))
                .route(delete().to(resources::remove)),
        )
        .service(path("/scim/v2/{endpoint:Simulations}/{id}/items", READ).route(get().to(simulations::items)))
        // what it was worth that seats of limited entitlements were taken back
        .service(path("/scim/v2/Entitlements/report", READ).route(get().to(licences::report)))
        // rights without a ground, over everybody
        .service(path("/scim/v2/Reports/rights", READ).route(get().to(report::rights)))
        // what became of people on a day
        .service(path("/scim/v2/Reports/{day}", READ).route(get().to(report::daily)))
        // what a person has to decide
        .service(path("/scim/v2/{endpoint:WorkItems}", READ).route(get().to(search::by_query)))
        .service(
            path("/scim/v2/{endpoint:WorkItems}/{id}", RUN)
                .route(get().to(resources::fetch))
                .route(patch().to(resources::patch))
                .route(delete().to(resources::remove)),
        )
        // RFC 7644 sections 3.3 to 3.6
        .service(many_resources())
        .service(one_resource())
        .default_service(web::to(unknown_path));
}

fn many_resources() -> Resource {
    path("/scim/v2/{endpoint}", MANY)
        .route(get().to(search::by_query))
        .route(post().to(resources::create))
        // SS 12000:2018; 405 for all others
        .route(put().to(resources::replace_named))
}

fn one_resource() -> Resource {
    path("/scim/v2/{endpoint}/{id}", RESOURCE)
        .route(get().to(resources::fetch))
        .route(put().to(resources::replace))
        .route(patch().to(resources::patch))
        .route(delete().to(resources::remove))
}

/// Whether the path is plainly one of the two types that everybody has, and no fixed name below it.
fn is_of_users_or_groups(context: &guard::GuardContext<'_>) -> bool {
    let rest = context.head().uri.path().strip_prefix("/scim/v2/").unwrap_or_default();
    let (endpoint, below) = rest.split_once('/').unwrap_or((rest, ""));
    matches!(endpoint, "Users" | "Groups") && below != ".search" && !below.contains('%')
}

/// A path with the methods in `allow`; the routes for them follow.
fn path(pattern: &'static str, allow: &'static str) -> Resource {
    web::resource(pattern)
        .app_data(Pattern(pattern))
        .route(on([Method::OPTIONS]).to(move || std::future::ready(respond::methods(allow))))
        .default_service(web::to(move || std::future::ready(Err::<HttpResponse, _>(Failure::Method(allow)))))
}

/// GET, and HEAD as a GET whose body is not sent.
fn get() -> Route {
    on([Method::GET, Method::HEAD])
}

fn post() -> Route {
    on([Method::POST])
}

fn put() -> Route {
    on([Method::PUT])
}

fn patch() -> Route {
    on([Method::PATCH])
}

fn delete() -> Route {
    on([Method::DELETE])
}

/// A route for methods. The library's own guards note with each request what they were asked, for a 405 of its making.
fn on<const N: usize>(methods: [Method; N]) -> Route {
    web::route().guard(guard::fn_guard(move |context| methods.contains(&context.head().method)))
}

async fn unknown_path() -> Answer {
    Err(Failure::status(StatusCode::NOT_FOUND, "There is nothing at this path. SCIM begins at /scim/v2."))
}
