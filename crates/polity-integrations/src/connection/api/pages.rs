//! What browsers meet on the way to a provider and back: the page that asks for consent, and the callback.

use garde::Validate;
use http::{HeaderValue, StatusCode, header};
use polity_grants::failure::plain_code;
use polity_kernel::{
    Secret,
    caller::{Public, User},
    http::{
        ClientIp, Cookies, Form, IntoResponse, Json, Page, Problem, Query, Response, Result, Routes, SetsCookie, State,
        UserAgent, codes, escape,
    },
    operation,
};
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::connections::{ConnectionOut, cookie};
use crate::{
    connection::{
        Connections, Error,
        error::code,
        model::{Connection, OauthApp, Status},
        service::{self, Answer, Opened, Proof, Question},
    },
    consent::By,
    workspace::WORKSPACE_NOT_FOUND,
};

/// What tells the page that opened the sign-in, and closes the pop-up.
const TELL: &str = include_str!("tell.js");

/// A page, or the way to another.
enum Next {
    Page(Page),
    To(String),
}

impl IntoResponse for Next {
    fn into_response(self) -> Response {
        match self {
            Self::Page(page) => page.into_response(),
            Self::To(url) => match HeaderValue::from_str(&url) {
                Ok(url) => (StatusCode::SEE_OTHER, [(header::LOCATION, url)]).into_response(),
                Err(_) => Problem::internal(&"an address is no header").into_response(),
            },
        }
    }
}

impl aide::OperationOutput for Next {
    type Inner = String;

    fn operation_response(
        ctx: &mut aide::generate::GenContext,
        operation: &mut aide::openapi::Operation,
    ) -> Option<aide::openapi::Response> {
        Page::operation_response(ctx, operation)
    }
}

/// The ticket of a link.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct ConnectQuery {
    /// The ticket.
    #[garde(length(chars, max = 128))]
    #[serde(default)]
    ticket: String,
}

/// What a person is asked, in words that are kept with their consent.
fn words(asked: &Question) -> String {
    let app = &asked.app.display_name;
    let scopes = asked.connection.requested_scopes.0.join(", ");
    let words = match &asked.workspace {
        Some(workspace) => format!("Allow {workspace} to use your {app} account on your behalf, with: {scopes}."),
        None => format!("Allow the use of your {app} account on your behalf, with: {scopes}."),
    };
    format!("{words}{}", before(&asked.kept))
}

/// What was allowed before, for other connections, and stays so.
fn before(kept: &[String]) -> String {
    match kept {
        [] => String::new(),
        kept => format!(" What you allowed before stays allowed: {}.", kept.join(", ")),
    }
}

fn ask(asked: &Question, ticket: &str) -> Page {
    let app = &asked.app;
    let scopes = &asked.connection.requested_scopes.0;
    let scopes: Vec<String> = scopes
        .iter()
        .map(|scope| format!("<li><code>{}</code></li>", escape(scope)))
        .collect();
    let scopes = scopes.concat();
    let inner = format!(
        include_str!("connect.html"),
        app = escape(&app.display_name),
        account = escape(&asked.account),
        workspace = escape(asked.workspace.as_deref().unwrap_or("your own")),
        scopes = scopes,
        kept = escape(&before(&asked.kept)),
        ticket = escape(ticket),
    );
    Page::new(&format!("Connect {}", app.display_name), inner)
}

/// The page that an app opens, in a pop-up or not: it asks for consent where that is missing, and leads on to the provider.
/// Where consent was given, it leads on at once in the browser that began, and after a click in any other.
///
/// The first browser that opens a link is the only one that may go on with it.
#[operation("connection.connect_page", errors(code::SIGN_IN_UNKNOWN))]
async fn connect(
    _: Public,
    State(connections): State<Connections>,
    cookies: Cookies,
    Query(query): Query<ConnectQuery>,
) -> Result<SetsCookie<Next>> {
    let mut tx = connections.ctx.db.begin().await?;
    let opened = match service::open_ticket(&mut tx, &connections, &query.ticket, &cookies).await {
        Ok(opened) => opened,
        Err(Error::SignIn) => return Ok(plain(sorry(&Error::SignIn))),
        Err(error) => return Err(error.into()),
    };
    tx.commit().await?;
    Ok(match opened {
        Opened::Provider(connection, url) => SetsCookie {
            cookie: cookie(&connections, &connection),
            answer: Next::To(url.expose().to_owned()),
        },
        Opened::Question(asked) => SetsCookie {
            cookie: cookie(&connections, &asked.connection),
            answer: Next::Page(ask(&asked, &query.ticket)),
        },
    })
}

fn plain(page: Page) -> SetsCookie<Next> {
    SetsCookie {
        cookie: None,
        answer: Next::Page(page),
    }
}

/// What a person decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Decision {
    /// They consent, and go on to the provider.
    Allow,
    /// They do not.
    Deny,
}

/// The answer to the page.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct ConnectIn {
    /// The ticket of the link; it is also what tells the form from a forged one.
    #[garde(length(chars, max = 128))]
    #[schemars(example = &"a ticket")]
    ticket: String,
    /// What they decided.
    #[garde(skip)]
    decision: Decision,
}

/// The person's decision on the page: their consent is recorded with what they read, and the browser goes on to the provider.
#[operation("connection.connect", errors(code::SIGN_IN_UNKNOWN))]
async fn decide(
    _: Public,
    State(connections): State<Connections>,
    cookies: Cookies,
    ip: ClientIp,
    agent: UserAgent,
    Form(body): Form<ConnectIn>,
) -> Result<Next> {
    let done = match body.decision {
        Decision::Allow => {
            let by = By::person(Some(ip.0.to_string()), Some(agent.0));
            let mut tx = connections.ctx.db.begin().await?;
            let allowed = service::allow(&mut tx, &connections, &body.ticket, &cookies, &by, words).await;
            match allowed {
                Ok((app, url)) => {
                    tx.commit().await?;
                    return Ok(Next::Page(leading(&app, &url)));
                }
                Err(error) => Err(error),
            }
        }
        Decision::Deny => service::deny(&connections, &body.ticket, &cookies).await,
    };
    match done {
        Ok(connection) => Ok(back(&connection, Err(&Error::Refused("access_denied".to_owned())))),
        Err(Error::SignIn) => Ok(Next::Page(sorry(&Error::SignIn))),
        Err(error) => Err(error.into()),
    }
}

fn leading(app: &OauthApp, url: &Secret) -> Page {
    let inner = format!(
        "<h1>Going to {0}</h1><p role=\"status\">You sign in there, and come back here.</p><p><a href=\"{1}\">Go on to {0}</a></p>",
        escape(&app.display_name),
        escape(url.expose())
    );
    Page::new(&format!("Going to {}", app.display_name), inner).leading_to(url.expose())
}

fn sorry(error: &Error) -> Page {
    let inner = format!(
        "<h1>This did not work</h1><p role=\"alert\">{}</p><p class=\"quiet\">You can close this window.</p>",
        escape(&error.told())
    );
    Page::new("This did not work", inner).with_status(StatusCode::BAD_REQUEST)
}

/// What a provider sends the browser back with (RFC 6749, 4.1.2).
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct CallbackQuery {
    /// The state that the browser was sent with.
    #[garde(length(chars, max = 512))]
    #[serde(default)]
    state: String,
    /// The code.
    #[garde(length(chars, max = 4096))]
    code: Option<String>,
    /// Why there is none.
    #[garde(length(chars, max = 255))]
    error: Option<String>,
}

/// The body of the same.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct CallbackIn {
    /// The state that the browser was sent with.
    #[garde(length(chars, min = 1, max = 512))]
    #[schemars(example = &"the state")]
    state: String,
    /// The code.
    #[garde(length(chars, max = 4096))]
    #[schemars(example = &"the code")]
    code: Option<String>,
    /// Why there is none.
    #[garde(length(chars, max = 255))]
    #[schemars(example = &"access_denied")]
    error: Option<String>,
}

fn answer(code: Option<String>, error: Option<&String>) -> Option<Answer> {
    match (code, error) {
        (_, Some(error)) => Some(Answer::Error(
            plain_code(error).unwrap_or_else(|| "an error".to_owned()),
        )),
        (Some(code), None) if !code.is_empty() => Some(Answer::Code(code.into())),
        _ => None,
    }
}

/// Where the provider sends the browser back to. Only the browser that went there may come back, once, within ten minutes.
#[operation("connection.callback_page", errors(code::SIGN_IN_UNKNOWN))]
async fn callback_page(
    _: Public,
    State(connections): State<Connections>,
    cookies: Cookies,
    Query(query): Query<CallbackQuery>,
) -> Result<Next> {
    let state = Secret::from(query.state);
    let waiting = match service::waiting(&connections, &state, &Proof::Browser(&cookies)).await {
        Ok(waiting) => waiting,
        Err(Error::SignIn) => return Ok(Next::Page(sorry(&Error::SignIn))),
        Err(error) => return Err(error.into()),
    };
    let Some(answer) = answer(query.code, query.error.as_ref()) else {
        return Ok(Next::Page(sorry(&Error::SignIn)));
    };
    let done = service::finish(&connections, &waiting, &state, answer).await;
    if let Some(error) = done.as_ref().err().filter(|error| error.is_internal()) {
        tracing::error!(connection.id = waiting.id, error = %error, "a sign-in could not be finished");
    }
    Ok(match &done {
        Ok(connection) => {
            let way = Connection {
                return_to: waiting.return_to,
                opener: waiting.opener,
                ..connection.clone()
            };
            back(&way, Ok(()))
        }
        Err(error) => back(&waiting, Err(error)),
    })
}

/// The end of a sign-in: back to the app's page, or a page that tells its opener.
fn back(connection: &Connection, done: std::result::Result<(), &Error>) -> Next {
    let status = if done.is_ok() { Status::Active } else { Status::Error };
    if let Some(mut url) = connection.return_to.as_ref().and_then(|url| Url::parse(url).ok()) {
        url.query_pairs_mut()
            .append_pair("connection_id", &connection.id)
            .append_pair("status", status.word());
        return Next::To(url.into());
    }
    let (title, role, text) = match done {
        Ok(()) => ("Connected", "status", "The account is connected.".to_owned()),
        Err(error) => ("This did not work", "alert", error.told()),
    };
    let inner = format!(
        "<h1>{title}</h1><p role=\"{role}\" id=\"end\" data-connection=\"{}\" data-status=\"{}\" data-opener=\"{}\">{}</p>\
         <p class=\"quiet\">You can close this window.</p>",
        escape(&connection.id),
        status.word(),
        escape(connection.opener.as_deref().unwrap_or_default()),
        escape(&text)
    );
    let page = Page::new(title, inner);
    let page = match done {
        Ok(()) => page,
        Err(error) if error.is_internal() => page.with_status(StatusCode::INTERNAL_SERVER_ERROR),
        Err(_) => page.with_status(StatusCode::BAD_REQUEST),
    };
    Next::Page(if connection.opener.is_some() {
        page.with_script(TELL)
    } else {
        page
    })
}

/// Finishes a sign-in whose provider sent the browser to the app's own page: for the person who began it.
#[operation(
    "connection.callback",
    errors(
        code::SIGN_IN_UNKNOWN,
        code::PROVIDER_REFUSED,
        code::PROVIDER_FAILED,
        code::CONSENT_REQUIRED,
        code::SCOPES_MISSING,
        code::OTHER_ACCOUNT,
        code::APP_NOT_FOUND,
        WORKSPACE_NOT_FOUND,
        codes::BAD_REQUEST
    )
)]
async fn callback(
    user: User,
    State(connections): State<Connections>,
    Json(body): Json<CallbackIn>,
) -> Result<Json<ConnectionOut>> {
    let person = user.user_id().unwrap_or_default();
    let Some(answer) = answer(body.code, body.error.as_ref()) else {
        return Err(Problem::field(&["code"], "code or error is required", "missing"));
    };
    let state = Secret::from(body.state);
    let waiting = service::waiting(&connections, &state, &Proof::Person(person)).await?;
    let done = service::finish(&connections, &waiting, &state, answer).await?;
    Ok(Json(ConnectionOut::new(done, connections.ctx.clock.now())))
}

pub(super) fn add(routes: Routes<Connections>) -> Routes<Connections> {
    routes
        .get("/api/v1/integration/oauth/connect", connect())
        .post("/api/v1/integration/oauth/connect", decide())
        .get("/api/v1/integration/oauth/callback", callback_page())
        .post("/api/v1/integration/oauth/callback", callback())
}
