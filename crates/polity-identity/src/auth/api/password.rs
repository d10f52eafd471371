//! Passwords.

use garde::Validate;
use polity_kernel::{
    Secret,
    caller::{Public, User},
    http::{self, Json, Result, Routes, State},
    operation,
};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Done, done};
use crate::auth::{Auth, error::code, service};

/// The old password and the new one.
#[derive(Deserialize, Validate, JsonSchema)]
struct ChangeIn {
    /// The password now.
    #[garde(length(chars, min = 1, max = 1024))]
    #[schemars(example = &"correct horse battery")]
    current_password: String,
    /// The password from now on, 8 to 1024 characters.
    #[garde(length(chars, min = 8, max = 1024))]
    #[schemars(example = &"another long password")]
    new_password: String,
}

/// Changes one's own password; one's other sessions end.
#[operation("auth.change_password", errors(code::INVALID_CREDENTIALS))]
async fn change(user: User, State(auth): State<Auth>, Json(body): Json<ChangeIn>) -> Result<Json<Done>> {
    let (current, new) = (Secret::from(body.current_password), Secret::from(body.new_password));
    service::change_password(&auth, user.id(), user.session_id.as_deref(), &current, &new).await?;
    Ok(done("Password changed"))
}

/// Whose password is to be reset.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct ResetIn {
    /// The address.
    #[garde(custom(http::email))]
    #[schemars(example = &"ada@example.com", extend("format" = "email", "maxLength" = 254))]
    email: String,
}

/// Mails a token that resets a password.
///
/// The answer is the same whether or not the address is known.
#[operation("auth.reset_password")]
async fn reset(_: Public, State(auth): State<Auth>, Json(body): Json<ResetIn>) -> Result<Json<Done>> {
    service::ask_for_reset(&auth, &body.email).await?;
    Ok(done("If the address is known, a mail is on its way"))
}

/// The mailed token and the new password.
#[derive(Deserialize, Validate, JsonSchema)]
struct ConfirmIn {
    /// The token.
    #[garde(length(chars, min = 1, max = 256))]
    token: String,
    /// The password from now on, 8 to 1024 characters.
    #[garde(length(chars, min = 8, max = 1024))]
    #[schemars(example = &"another long password")]
    new_password: String,
}

/// Sets a new password with a mailed token, once; all sessions end.
#[operation("auth.reset_password_confirm", errors(code::INVALID_TOKEN))]
async fn confirm(_: Public, State(auth): State<Auth>, Json(body): Json<ConfirmIn>) -> Result<Json<Done>> {
    service::confirm_reset(&auth, &body.token, &Secret::from(body.new_password)).await?;
    Ok(done("Password set; sign in with it"))
}

pub(super) fn add(routes: Routes<Auth>) -> Routes<Auth> {
    routes
        .post("/api/v1/auth/password/change", change())
        .post("/api/v1/auth/password/reset", reset())
        .post("/api/v1/auth/password/reset/confirm", confirm())
}
