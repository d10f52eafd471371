//! People: registered, signed in, ready to act.

use polity_identity::auth;
use polity_kernel::Secret;
use serde_json::json;

use crate::App;

/// Somebody with an account and a session.
#[derive(Debug, Clone)]
pub struct Person {
    /// Their id.
    pub user_id: String,
    /// Their address.
    pub email: String,
    /// An access token.
    pub access_token: String,
    /// A refresh token; empty for administrators, who get it in a cookie.
    pub refresh_token: String,
}

/// The password of everybody in tests.
pub const PASSWORD: &str = "correct horse battery";

impl App {
    /// Registers somebody, with the code from their mail.
    pub async fn register(&self, email: &str) -> Person {
        let body = json!({ "email": email, "password": PASSWORD, "name": "Test Person" });
        let pending = self.post("/api/v1/auth/register").json(&body).send().await.expect(200);
        let code = self.code_for(email).await;
        let body = json!({ "pending_registration_id": pending.body["pending_registration_id"], "code": code });
        let verified = self.post("/api/v1/auth/verify").json(&body).send().await.expect(200);
        assert_eq!(verified.body["success"], true, "{}", verified.text);
        Person {
            user_id: verified.text_at("/user_id").to_owned(),
            email: verified.text_at("/email").to_owned(),
            access_token: verified.text_at("/access_token").to_owned(),
            refresh_token: verified.text_at("/refresh_token").to_owned(),
        }
    }

    /// Whose access token it is.
    pub async fn whoami(&self, access_token: &str) -> String {
        let body = json!({ "token": access_token });
        let answer = self.post("/api/v1/auth/verify-token").json(&body).send().await;
        answer.expect(200).text_at("/user_id").to_owned()
    }

    /// The six-digit code in the last mail to that address.
    pub async fn code_for(&self, email: &str) -> String {
        self.settle().await;
        let text = self.last_mail_to(email);
        let digits = text.split(|c: char| !c.is_ascii_digit()).find(|part| part.len() == 6);
        digits.unwrap_or_else(|| panic!("no code in {text:?}")).to_owned()
    }

    /// The text of the last mail to that address.
    #[must_use]
    pub fn last_mail_to(&self, email: &str) -> String {
        let mails = self.ctx.mail.captured();
        let last = mails.iter().rev().find(|mail| mail.mail.to.eq_ignore_ascii_case(email));
        last.unwrap_or_else(|| panic!("no mail to {email}")).mail.text.clone()
    }

    /// An administrator with every right, signed in.
    pub async fn admin(&self) -> Person {
        self.admin_named("root@example.com").await
    }

    /// Another administrator.
    pub async fn admin_named(&self, email: &str) -> Person {
        let password = Secret::from(PASSWORD.to_owned());
        let user_id = auth::create_admin(&self.ctx, email, password, "Root")
            .await
            .expect("the administrator is created");
        let body = json!({ "email": email, "password": PASSWORD });
        let answer = self
            .post("/api/v1/auth/admin/login")
            .json(&body)
            .send()
            .await
            .expect(200);
        Person {
            user_id,
            email: email.to_owned(),
            access_token: answer.text_at("/access_token").to_owned(),
            refresh_token: String::new(),
        }
    }
}
