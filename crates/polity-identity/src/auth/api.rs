//! What the service answers: each file reads from top to bottom, bodies, handlers, routes.

mod admin;
mod dev;
mod device;
mod info;
mod keys;
mod password;
mod registration;
mod session;
mod setup;
mod token;

use http::header;
use polity_kernel::http::{ClientIp, IntoResponse, Json, Response, Routes, UserAgent, codes};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Auth, service::Client};

/// Where a request comes from.
fn client(ip: ClientIp, agent: UserAgent) -> Client {
    Client {
        ip: ip.0.to_string(),
        user_agent: agent.0,
    }
}

/// A body with the refresh cookie beside.
struct WithCookie<T> {
    body: T,
    cookie: http::HeaderValue,
}

impl<T: Serialize> IntoResponse for WithCookie<T> {
    fn into_response(self) -> Response {
        let mut response = Json(self.body).into_response();
        response.headers_mut().append(header::SET_COOKIE, self.cookie);
        response
    }
}

impl<T: JsonSchema> aide::OperationOutput for WithCookie<T> {
    type Inner = T;

    fn operation_response(
        ctx: &mut aide::generate::GenContext,
        operation: &mut aide::openapi::Operation,
    ) -> Option<aide::openapi::Response> {
        Json::<T>::operation_response(ctx, operation)
    }
}

/// That something was done.
#[derive(Debug, Serialize, JsonSchema)]
struct Done {
    /// Always true.
    success: bool,
    /// What was done.
    message: &'static str,
}

fn done(message: &'static str) -> Json<Done> {
    Json(Done { success: true, message })
}

/// The operations.
pub(super) fn routes() -> Routes<Auth> {
    let routes = info::add(Routes::new("auth"));
    let routes = registration::add(routes);
    let routes = session::add(routes);
    let routes = token::add(routes);
    let routes = password::add(routes);
    let routes = keys::add(routes);
    let routes = device::add(routes);
    let routes = admin::add(routes);
    // Of the limits per client address, which stand around all of them.
    setup::add(routes).may_answer(codes::RATE_LIMITED)
}

/// The operations that exist in development alone.
pub(super) fn add_development(routes: Routes<Auth>) -> Routes<Auth> {
    dev::add(routes)
}
