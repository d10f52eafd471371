//! HTTP: what every operation of the API has in common.
//!
//! A handler is an `async fn` that takes, in order, its guard, its state, path, query and body, and carries
//! `#[operation]`. A service lists its operations in a [`Routes`]; the server mounts them all. The handler's types are the
//! source of the OpenAPI document; [`Problem`] is the one shape of an error.
//!
//! Invariants: every operation names a guard, [`crate::caller::Public`] included, or the program does not start; every body
//! is limited; every request has an id and an end; what is unexpected answers 500 with nothing internal in it.

mod alias;
mod conditional;
mod docs;
mod extract;
mod given;
mod idempotency;
mod json;
mod layers;
mod lines;
mod openapi;
mod operation;
mod page;
mod problem;
mod server;
mod validate;

pub use alias::with_aliases;
pub use axum::extract::{FromRef, State};
pub use axum::response::{IntoResponse, Response};
pub use conditional::{Created, IfMatch, SetsCookie, Tagged};
pub use extract::{ClientIp, Cookies, Path, Query, UserAgent};
pub use given::Given;
pub use idempotency::{ANSWERS, Idempotency, Key as IdempotencyKey, Replayed, Reply, forget_answers, keep, replay};
pub use json::{Json, has_nul};
pub use layers::{HttpSettings, RequestId, wrap};
pub use lines::{Lines, LinesOut};
pub use openapi::{Described, document};
pub use operation::{Doc, Operation, Routes};
pub use page::{Form, Page, escape};
pub use problem::{ErrorCode, FieldError, Problem, codes};
pub use server::{Drain, serve};
pub use validate::{check, email};

pub(crate) use docs::{page as docs_page, script as docs_script, style as docs_style};

/// What a handler answers: a body, or a problem.
pub type Result<T, E = Problem> = std::result::Result<T, E>;
