use std::time::Duration;

use polity_ports::{Said, account::UserErased};
use polity_testing::App;
use serde_json::{Value, json};

use super::{accept, invite, look, mailed};
use crate::organization::{BASE, add, change, organization, remove, set};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_cre_who_may_invite_whom_as_what() {
    App::each(async |app| {
        let mut people = Vec::new();
        for name in ["ada", "bob", "carol", "eve"] {
            people.push(app.register(&format!("{name}@example.com")).await);
        }
        let [ada, bob, carol, eve] = people.as_slice() else {
            unreachable!()
        };
        let id = organization(&app, ada, "A").await;
        add(&app, ada, &id, bob, "admin").await.expect(200);
        add(&app, ada, &id, carol, "member").await.expect(200);
        let ask = async |by, email: &str, more: Value| invite(&app, by, &id, email, more).await;
        assert_eq!(
            ask(eve, "x@example.com", json!({}))
                .await
                .expect(404)
                .text_at("/detail"),
            "Organization not found"
        );
        let refused = ask(carol, "x@example.com", json!({})).await.expect(403);
        assert_eq!(
            refused.text_at("/detail"),
            "You don't have permission to invite users to this organization"
        );
        ask(bob, "x@example.com", json!({ "role": "admin" })).await.expect(403);
        ask(bob, "x@example.com", json!({ "role": "viewer" })).await.expect(200);
        let twice = ask(ada, "X@example.COM", json!({})).await.expect(400);
        assert_eq!(
            twice.text_at("/detail"),
            "A pending invitation already exists for this email"
        );
        ask(ada, "x+tag@example.com", json!({})).await.expect(200);
        for member in [&ada.email, &carol.email, &"CAROL@example.com".to_owned()] {
            let refused = ask(ada, member, json!({})).await.expect(400);
            assert_eq!(
                refused.text_at("/detail"),
                "User is already a member of this organization"
            );
        }
        ask(ada, "owner@example.com", json!({ "role": "owner" }))
            .await
            .expect(200);
        for (email, more, status) in [
            ("nowhere", json!({}), 422),
            ("a@example.com", json!({ "role": "boss" }), 422),
            ("a@example.com", json!({ "message": "x".repeat(501) }), 422),
            ("a@example.com", json!({ "expires_in_days": 31 }), 422),
            ("a@example.com", json!({ "message": "" }), 200),
        ] {
            ask(ada, email, more).await.expect(status);
        }
        // EC-CON-003: two administrators at once, one invitation.
        let (one, other) = tokio::join!(
            ask(ada, "race@example.com", json!({})),
            ask(bob, "race@example.com", json!({}))
        );
        let mut statuses = [one.status, other.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 400]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_res_the_same_link_is_mailed_again_with_a_pause_and_not_for_ever() {
    App::each(async |app| {
        let (ada, bob) = (
            app.register("ada@example.com").await,
            app.register("bob@example.com").await,
        );
        let id = organization(&app, &ada, "A").await;
        let sent = invite(&app, &ada, &id, &bob.email, json!({})).await.expect(200);
        let path = format!("/api/v1/invitations/{}/resend", sent.text_at("/invitation_id"));
        let resend = || app.post(&path).bearer(&ada.access_token).send();
        let soon = resend().await.expect(429);
        assert_eq!(soon.header("retry-after"), "60");
        for _ in 0..4 {
            app.advance(Duration::from_mins(1));
            assert_eq!(
                resend().await.expect(200).text_at("/message"),
                "Invitation resent successfully"
            );
        }
        assert_eq!(mailed(&app, &bob.email).await, sent.text_at("/invitation_token"));
        app.advance(Duration::from_mins(1));
        resend().await.expect(429);
        app.post(&path).bearer(&bob.access_token).send().await.expect(404);
        app.post(&path).service().send().await.expect(200);
        let seen = look(&app, sent.text_at("/invitation_token")).await.expect(200);
        let week = app.ctx.clock.now() + Duration::from_hours(24 * 7);
        assert_eq!(seen.text_at("/expires_at"), polity_kernel::clock::rfc3339(week));
        accept(&app, &bob, sent.text_at("/invitation_token")).await.expect(200);
        let closed = resend().await.expect(400);
        assert_eq!(closed.text_at("/detail"), "Cannot resend accepted invitation");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ec_prm_inviters_take_back_and_resend_while_they_are_administrators() {
    App::each(async |app| {
        let (ada, bob) = (
            app.register("ada@example.com").await,
            app.register("bob@example.com").await,
        );
        let id = organization(&app, &ada, "A").await;
        add(&app, &ada, &id, &bob, "admin").await.expect(200);
        let sent = invite(&app, &bob, &id, "x@example.com", json!({})).await.expect(200);
        let other = invite(&app, &ada, &id, "y@example.com", json!({})).await.expect(200);
        app.advance(Duration::from_mins(2));
        change(&app, &ada, &id, &bob, json!({ "role": "member" }))
            .await
            .expect(200);
        let cancel = async |who: &polity_testing::Person, invitation: &str| {
            app.delete(&format!("/api/v1/invitations/{invitation}"))
                .bearer(&who.access_token)
                .send()
                .await
        };
        for invitation in [&sent, &other] {
            let id = invitation.text_at("/invitation_id");
            let refused = cancel(&bob, id).await.expect(403);
            assert_eq!(
                refused.text_at("/detail"),
                "You don't have permission to cancel this invitation"
            );
            let path = format!("/api/v1/invitations/{id}/resend");
            let refused = app.post(&path).bearer(&bob.access_token).send().await.expect(403);
            assert_eq!(
                refused.text_at("/detail"),
                "You don't have permission to resend this invitation"
            );
        }
        for _ in 0..2 {
            let done = cancel(&ada, sent.text_at("/invitation_id")).await.expect(200);
            assert_eq!(done.text_at("/message"), "Invitation cancelled successfully");
        }
        remove(&app, &ada, &id, &bob).await.expect(200);
        cancel(&bob, sent.text_at("/invitation_id")).await.expect(404);
        cancel(&ada, "whatever/else").await.expect(404);
        cancel(&ada, "inv_none").await.expect(404);
        assert_eq!(
            look(&app, sent.text_at("/invitation_token"))
                .await
                .expect(400)
                .text_at("/detail"),
            "Invitation is cancelled"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_lst_lists_are_filtered_counted_and_for_administrators() {
    App::each(async |app| {
        let (ada, bob) = (
            app.register("ada@example.com").await,
            app.register("bob@example.com").await,
        );
        let id = organization(&app, &ada, "A").await;
        add(&app, &ada, &id, &bob, "member").await.expect(200);
        invite(&app, &ada, &id, "short@example.com", json!({ "expires_in_days": 1 }))
            .await
            .expect(200);
        invite(&app, &ada, &id, "long@example.com", json!({})).await.expect(200);
        app.advance(Duration::from_mins(30));
        let list = async |query: &str| {
            let path = format!("/api/v1/organizations/{id}/invitations{query}");
            app.get(&path).service().send().await
        };
        let all = list("?limit=1").await.expect(200);
        assert_eq!(
            (&all.body["total"], all.text_at("/invitations/0/email")),
            (&json!(2), "long@example.com")
        );
        assert!(!all.text.contains("pol_invite_"), "{}", all.text);
        app.advance(Duration::from_hours(24));
        assert_eq!(list("?status=expired").await.expect(200).body["total"], 1);
        assert_eq!(list("?status=pending").await.expect(200).body["total"], 1);
        list("?status=lost").await.expect(422);
        let path = format!("/api/v1/invitations/organizations/{id}");
        let access = crate::credential::again(&app, &bob.email).await;
        app.get(&path).bearer(&access).send().await.expect(403);
        let expire = app.post("/api/v1/invitations/admin/expire-invitations");
        let done = expire.service().json(&json!({})).send().await.expect(200);
        assert!(done.body["expired_count"].as_u64().unwrap() <= 1, "{}", done.text);
        app.post("/api/v1/invitations/admin/expire-invitations")
            .bearer(&access)
            .send()
            .await
            .expect(403);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_are_invited_each_for_themselves_and_too_many_are_refused() {
    let settings = json!({ "invitation": { "per_hour": 6 } });
    App::each_with(settings, async |app| {
        let ada = app.register("ada@example.com").await;
        let id = organization(&app, &ada, "A").await;
        let path = format!("/api/v1/invitations/organizations/{id}/bulk");
        let many = async |emails: &[&str]| {
            let each: Vec<_> = emails.iter().map(|email| json!({ "email": email })).collect();
            app.post(&path)
                .bearer(&ada.access_token)
                .json(&json!({ "invitations": each }))
                .send()
                .await
        };
        let done = many(&["a@example.com", "A@example.com", "ada@example.com", "b@example.com"])
            .await
            .expect(200);
        assert_eq!((&done.body["successful"], &done.body["failed"]), (&json!(2), &json!(2)));
        assert_eq!(
            done.text_at("/results/1/error"),
            "A pending invitation already exists for this email"
        );
        assert!(!done.text.contains("pol_invite_"), "{}", done.text);
        many(&["nowhere"]).await.expect(422);
        many(&[]).await.expect(422);
        let emails: Vec<String> = (0..101).map(|n| format!("p{n}@example.com")).collect();
        many(&emails.iter().map(String::as_str).collect::<Vec<_>>())
            .await
            .expect(422);
        let rest = many(&["c@example.com", "d@example.com", "e@example.com"])
            .await
            .expect(200);
        assert_eq!(rest.body["successful"], 2);
        invite(&app, &ada, &id, "f@example.com", json!({})).await.expect(429);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_sub_invitations_end_with_their_organization_inviter_and_purpose() {
    App::each(async |app| {
        let mut people = Vec::new();
        for name in ["ada", "bob", "carol"] {
            people.push(app.register(&format!("{name}@example.com")).await);
        }
        let [ada, bob, carol] = people.as_slice() else {
            unreachable!()
        };
        let (first, second) = (organization(&app, ada, "A").await, organization(&app, carol, "B").await);
        add(&app, carol, &second, bob, "admin").await.expect(200);
        let gone = invite(&app, ada, &first, "x@example.com", json!({})).await.expect(200);
        let orphan = invite(&app, bob, &second, "y@example.com", json!({})).await.expect(200);
        let kept = invite(&app, carol, &second, "bob@elsewhere.test", json!({}))
            .await
            .expect(200);
        let needless = invite(&app, carol, &second, &ada.email, json!({})).await.expect(200);
        add(&app, carol, &second, ada, "member").await.expect(200);
        app.delete(&format!("{BASE}/{first}"))
            .bearer(&ada.access_token)
            .send()
            .await
            .expect(200);
        let path = format!("/api/v1/accounts/profile/{}", bob.user_id);
        app.delete(&path).bearer(&bob.access_token).send().await.expect(200);
        app.settle().await;
        for (sent, status) in [(&gone, "cancelled"), (&orphan, "cancelled"), (&needless, "accepted")] {
            let answer = look(&app, sent.text_at("/invitation_token")).await.expect(400);
            assert_eq!(answer.text_at("/detail"), format!("Invitation is {status}"));
        }
        look(&app, kept.text_at("/invitation_token")).await.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_or_repeated_takes_no_recipient_their_mails() {
    let settings = json!({ "invitation": { "per_recipient_per_day": 2 } });
    App::each_with(settings, async |app| {
        let mut people = Vec::new();
        for name in ["ada", "carol", "eve"] {
            people.push(app.register(&format!("{name}@example.com")).await);
        }
        let [ada, carol, eve] = people.as_slice() else {
            unreachable!()
        };
        let id = organization(&app, ada, "A").await;
        add(&app, ada, &id, carol, "member").await.expect(200);
        for _ in 0..3 {
            invite(&app, eve, &id, "bob@example.com", json!({})).await.expect(404);
            invite(&app, carol, &id, "bob@example.com", json!({})).await.expect(403);
            invite(&app, ada, &id, &carol.email, json!({})).await.expect(400);
        }
        let body = json!({ "email": "bob@example.com" });
        for _ in 0..3 {
            app.post(&format!("/api/v1/invitations/organizations/{id}"))
                .bearer(&ada.access_token)
                .header("Idempotency-Key", "once")
                .json(&body)
                .send()
                .await
                .expect(200);
        }
        let other = organization(&app, eve, "B").await;
        invite(&app, eve, &other, "bob@example.com", json!({}))
            .await
            .expect(200);
        // The third mail of the day is one too many, from whomever.
        let third = organization(&app, carol, "C").await;
        invite(&app, carol, &third, "bob@example.com", json!({}))
            .await
            .expect(429);
        // What is true of the caller or the organization is true of all of many.
        let bulk = json!({ "invitations": [body] });
        for (who, status) in [(eve, 404), (carol, 403)] {
            app.post(&format!("/api/v1/invitations/organizations/{id}/bulk"))
                .bearer(&who.access_token)
                .json(&bulk)
                .send()
                .await
                .expect(status);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_organization_mails_nothing() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let id = organization(&app, &ada, "A").await;
        let sent = invite(&app, &ada, &id, "x@example.com", json!({})).await.expect(200);
        set(&app, &id, json!({ "status": "suspended" })).await;
        app.advance(Duration::from_mins(2));
        let path = format!("/api/v1/invitations/{}", sent.text_at("/invitation_id"));
        let resend = || app.post(&format!("{path}/resend"));
        let refused = resend().bearer(&ada.access_token).send().await.expect(400);
        assert_eq!(refused.text_at("/detail"), "The organization is suspended");
        resend().service().send().await.expect(400);
        app.delete(&path).bearer(&ada.access_token).send().await.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_quoted_in_a_mail_stays_in_its_quotation() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let forged = "To accept, open this link:\u{2028}https://evil.example";
        let id = organization(&app, &ada, &format!("Engines\n\n{forged}")).await;
        let word = format!("Hello\r{forged}\u{85}x\r\ny");
        invite(&app, &ada, &id, "bob@example.com", json!({ "message": word }))
            .await
            .expect(200);
        app.settle().await;
        let text = app.last_mail_to("bob@example.com");
        let lines = text.split(['\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}']);
        let forged: Vec<_> = lines
            .filter(|line| line.starts_with("https://evil.example") || line.starts_with("To accept, open this link:"))
            .collect();
        assert!(forged.is_empty(), "{text:?}");
        assert!(text.contains("> x\n> y\n"), "{text:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_of_an_hour_holds_for_each_organization_and_for_each_inviter() {
    let settings = json!({ "invitation": { "per_hour": 3 } });
    App::each_with(settings, async |app| {
        let (ada, bob) = (
            app.register("ada@example.com").await,
            app.register("bob@example.com").await,
        );
        let (first, second) = (organization(&app, &ada, "A").await, organization(&app, &ada, "B").await);
        add(&app, &ada, &first, &bob, "admin").await.expect(200);
        let mut number = 0;
        for (by, organization, status) in [
            (&ada, &first, 200),
            (&ada, &first, 200),
            (&bob, &first, 200),
            (&bob, &first, 429),
            (&ada, &second, 200),
            (&ada, &second, 429),
        ] {
            number += 1;
            let email = format!("p{number}@example.com");
            invite(&app, by, organization, &email, json!({})).await.expect(status);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_whoever_is_erased_no_invitation_says_anything() {
    App::each(async |app| {
        let (ada, bob) = (
            app.register("ada@example.com").await,
            app.register("bob@example.com").await,
        );
        let id = organization(&app, &ada, "A").await;
        add(&app, &ada, &id, &bob, "admin").await.expect(200);
        invite(&app, &bob, &id, "x@example.com", json!({ "message": "It is I, Bob" }))
            .await
            .expect(200);
        let other = organization(&app, &ada, "B").await;
        let sent = invite(&app, &ada, &other, &bob.email, json!({})).await.expect(200);
        accept(&app, &bob, sent.text_at("/invitation_token")).await.expect(200);
        let said = UserErased {
            user_id: bob.user_id.clone(),
            erased_at: app.ctx.clock.now(),
        };
        let mut tx = app.ctx.db.begin().await.unwrap();
        app.ctx.events.publish(&mut tx, said.event()).await.unwrap();
        tx.commit().await.unwrap();
        app.settle().await;
        for (id, count) in [(&id, 1), (&other, 0)] {
            let path = format!("/api/v1/invitations/organizations/{id}");
            let list = app.get(&path).service().send().await.expect(200);
            assert_eq!(list.body["total"], count);
            assert!(!list.text.contains("bob@example.com"), "{}", list.text);
            assert!(!list.text.contains("It is I"), "{}", list.text);
        }
    })
    .await;
}
