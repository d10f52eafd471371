use std::time::Duration;

use futures::future::join_all;
use polity_testing::App;
use serde_json::json;

use super::{accept, decline, invite, look, mailed};
use crate::organization::{BASE, add, change, organization, remove, set};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_cre_010_an_invitation_is_mailed_shown_and_accepted() {
    App::each(async |app| {
        let (ada, bob) = (
            app.register("ada@example.com").await,
            app.register("bob@example.com").await,
        );
        let id = organization(&app, &ada, "Engines").await;
        let word = "Hello <b>Bob</b>,\nhttps://evil.example 🎩";
        let sent = invite(
            &app,
            &ada,
            &id,
            " Bob@Example.com",
            json!({ "role": "viewer", "message": word }),
        )
        .await
        .expect(200);
        assert_eq!(
            (sent.text_at("/status"), sent.text_at("/email")),
            ("pending", "bob@example.com")
        );
        let token = mailed(&app, "bob@example.com").await;
        assert_eq!(token, sent.text_at("/invitation_token"));
        assert!(app.last_mail_to("bob@example.com").contains("> Hello <b>Bob</b>,"));
        let seen = look(&app, &token).await.expect(200);
        assert_eq!(
            (
                seen.text_at("/organization_name"),
                seen.text_at("/inviter_email"),
                seen.text_at("/role")
            ),
            ("Engines", "ada@example.com", "viewer")
        );
        assert!(!seen.text.contains(&token), "{}", seen.text);
        let mine = app
            .get("/api/v1/invitations/mine")
            .bearer(&bob.access_token)
            .send()
            .await
            .expect(200);
        assert_eq!(
            (&mine.body["total"], mine.text_at("/invitations/0/organization_id")),
            (&json!(1), id.as_str())
        );
        let done = accept(&app, &bob, &token).await.expect(200);
        assert_eq!(
            (
                done.text_at("/organization_id"),
                done.text_at("/user_id"),
                done.text_at("/role")
            ),
            (id.as_str(), bob.user_id.as_str(), "viewer")
        );
        let got = app
            .get(&format!("{BASE}/{id}"))
            .bearer(&bob.access_token)
            .send()
            .await
            .expect(200);
        assert_eq!(got.text_at("/user_role"), "viewer");
        assert_eq!(
            accept(&app, &bob, &token).await.expect(400).text_at("/detail"),
            "Invitation is accepted"
        );
        assert_eq!(
            look(&app, &token).await.expect(400).text_at("/detail"),
            "Invitation is accepted"
        );
        app.settle().await;
        let types = [
            "invitation_service.invitation.sent",
            "invitation_service.invitation.accepted",
        ];
        let events = app.ctx.events.read_after(&app.ctx.db, 0, &types, 10).await.unwrap();
        assert_eq!(events.len(), 2);
        let said = serde_json::to_string(&events.iter().map(|event| &event.data).collect::<Vec<_>>()).unwrap();
        assert!(!said.contains("pol_invite_"), "{said}");
        let mut read = app.ctx.db.read().await.unwrap();
        let (sealed,) = read
            .sql("select count(*) from invitation where token is not null")
            .one::<(i64,)>()
            .await
            .unwrap();
        assert_eq!(sealed, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ec_con_001_of_many_who_accept_at_once_one_does() {
    App::each_with(
        json!({ "invitation": { "looks_per_minute": 1_000, "per_recipient_per_day": 100 } }),
        async |app| {
            let (ada, bob) = (
                app.register("ada@example.com").await,
                app.register("bob@example.com").await,
            );
            let id = organization(&app, &ada, "A").await;
            for round in 0..5 {
                let sent = invite(&app, &ada, &id, &bob.email, json!({})).await.expect(200);
                let token = sent.text_at("/invitation_token");
                let answers = join_all((0..12).map(|_| accept(&app, &bob, token))).await;
                let accepted = answers.iter().filter(|answer| answer.status == 200).count();
                let late: Vec<_> = answers.iter().filter(|answer| answer.status == 400).collect();
                assert_eq!((accepted, late.len()), (1, 11), "round {round}");
                assert!(
                    late.iter()
                        .all(|answer| answer.text_at("/detail") == "Invitation is accepted")
                );
                let members = app
                    .get(&format!("{BASE}/{id}/members"))
                    .service()
                    .send()
                    .await
                    .expect(200);
                assert_eq!(members.body["total"], 2);
                remove(&app, &ada, &id, &bob).await.expect(200);
            }
            // EC-CON-002: taken back and accepted at once, the first decides.
            for _ in 0..5 {
                let sent = invite(&app, &ada, &id, &bob.email, json!({})).await.expect(200);
                let (token, invitation) = (sent.text_at("/invitation_token"), sent.text_at("/invitation_id"));
                let path = format!("/api/v1/invitations/{invitation}");
                let cancel = app.delete(&path).bearer(&ada.access_token).send();
                let (accepted, cancelled) = tokio::join!(accept(&app, &bob, token), cancel);
                assert_eq!(u8::from(accepted.status == 200) + u8::from(cancelled.status == 200), 1);
                if accepted.status == 200 {
                    assert_eq!(cancelled.text_at("/detail"), "Cannot cancel accepted invitation");
                    remove(&app, &ada, &id, &bob).await.expect(200);
                } else {
                    assert_eq!(accepted.text_at("/detail"), "Invitation is cancelled");
                }
            }
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_acc_003_nobody_accepts_for_another_address() {
    App::each(async |app| {
        let (ada, eve) = (
            app.register("ada@example.com").await,
            app.register("eve@example.com").await,
        );
        let bob = app.register("bob@example.com").await;
        let id = organization(&app, &ada, "A").await;
        let sent = invite(&app, &ada, &id, "bob@example.com", json!({})).await.expect(200);
        let token = sent.text_at("/invitation_token");
        assert_eq!(accept(&app, &eve, token).await.expect(400).code(), "EMAIL_MISMATCH");
        assert_eq!(decline(&app, &eve, token).await.expect(400).code(), "EMAIL_MISMATCH");
        let body = json!({ "invitation_token": token, "user_id": bob.user_id });
        let ask = || app.post("/api/v1/invitations/accept").json(&body);
        ask().bearer(&eve.access_token).send().await.expect(403);
        ask().send().await.expect(401);
        // A look-alike is another address.
        let like = invite(&app, &ada, &id, "b\u{43e}b@example.com", json!({})).await;
        if like.status == 200 {
            assert_eq!(
                accept(&app, &bob, like.text_at("/invitation_token"))
                    .await
                    .expect(400)
                    .code(),
                "EMAIL_MISMATCH"
            );
        }
        ask().service().send().await.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ec_exp_001_an_invitation_ends_at_its_second_and_says_so_once() {
    App::each(async |app| {
        let (ada, bob) = (
            app.register("ada@example.com").await,
            app.register("bob@example.com").await,
        );
        let id = organization(&app, &ada, "A").await;
        let sent = invite(&app, &ada, &id, &bob.email, json!({ "expires_in_days": 1 }))
            .await
            .expect(200);
        let token = sent.text_at("/invitation_token");
        app.advance(Duration::from_hours(24) - Duration::from_secs(1));
        look(&app, token).await.expect(200);
        app.advance(Duration::from_secs(1));
        assert_eq!(
            look(&app, token).await.expect(400).text_at("/detail"),
            "Invitation has expired"
        );
        assert_eq!(
            look(&app, token).await.expect(400).text_at("/detail"),
            "Invitation is expired"
        );
        let access = crate::credential::again(&app, &bob.email).await;
        let bob = polity_testing::Person {
            access_token: access,
            ..bob
        };
        assert_eq!(
            accept(&app, &bob, token).await.expect(400).text_at("/detail"),
            "Invitation is expired"
        );
        app.settle().await;
        let types = ["invitation_service.invitation.expired"];
        assert!(
            app.ctx
                .events
                .read_after(&app.ctx.db, 0, &types, 10)
                .await
                .unwrap()
                .len()
                <= 1
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ec_tkn_what_is_no_token_is_not_found_and_guessing_is_slow() {
    App::each(async |app| {
        for token in ["x", "pol_invite_nothing", &"y".repeat(10_000), "%00", "..%2F..", "é"] {
            let answer = look(&app, token).await;
            assert!(matches!(answer.status, 404 | 422), "{token:.40}: {}", answer.text);
        }
        let mut limited = None;
        for _ in 0..40 {
            let answer = look(&app, "guess").await;
            if answer.status == 429 {
                limited = Some(answer);
                break;
            }
        }
        assert!(
            !limited
                .expect("guessing is never refused")
                .header("retry-after")
                .is_empty()
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn declined_is_cancelled_and_a_suspended_organization_takes_nobody() {
    App::each(async |app| {
        let (ada, bob) = (
            app.register("ada@example.com").await,
            app.register("bob@example.com").await,
        );
        let id = organization(&app, &ada, "A").await;
        let sent = invite(&app, &ada, &id, &bob.email, json!({})).await.expect(200);
        let token = sent.text_at("/invitation_token");
        assert_eq!(
            decline(&app, &bob, token).await.expect(200).text_at("/message"),
            "Invitation declined"
        );
        assert_eq!(
            accept(&app, &bob, token).await.expect(400).text_at("/detail"),
            "Invitation is cancelled"
        );
        let sent = invite(&app, &ada, &id, &bob.email, json!({})).await.expect(200);
        let token = sent.text_at("/invitation_token");
        set(&app, &id, json!({ "status": "suspended", "name": "Renamed" })).await;
        look(&app, token).await.expect(200);
        accept(&app, &bob, token).await.expect(400);
        invite(&app, &ada, &id, "carol@example.com", json!({}))
            .await
            .expect(400);
        set(&app, &id, json!({ "status": "active" })).await;
        assert_eq!(
            look(&app, token).await.expect(200).text_at("/organization_name"),
            "Renamed"
        );
        // No room: it stays pending until there is.
        let mut others = Vec::new();
        for n in 0..4 {
            let other = app.register(&format!("p{n}@example.com")).await;
            add(&app, &ada, &id, &other, "member").await.expect(200);
            others.push(other);
        }
        let full = accept(&app, &bob, token).await.expect(400);
        assert!(
            full.text_at("/detail")
                .starts_with("Failed to add user to organization"),
            "{}",
            full.text
        );
        remove(&app, &ada, &id, &others[0]).await.expect(200);
        accept(&app, &bob, token).await.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_member_comes_back_by_no_invitation() {
    App::each(async |app| {
        let (ada, bob) = (
            app.register("ada@example.com").await,
            app.register("bob@example.com").await,
        );
        let id = organization(&app, &ada, "A").await;
        add(&app, &ada, &id, &bob, "member").await.expect(200);
        change(&app, &ada, &id, &bob, json!({ "status": "suspended" }))
            .await
            .expect(200);
        let sent = invite(&app, &ada, &id, &bob.email, json!({})).await.expect(200);
        let token = sent.text_at("/invitation_token");
        let refused = accept(&app, &bob, token).await.expect(400);
        assert!(
            refused
                .text_at("/detail")
                .starts_with("Failed to add user to organization"),
            "{}",
            refused.text
        );
        look(&app, token).await.expect(200);
        change(&app, &ada, &id, &bob, json!({ "status": "active" }))
            .await
            .expect(200);
        accept(&app, &bob, token).await.expect(200);
    })
    .await;
}
