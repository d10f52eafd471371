//! What other services of the domain ask of consents, in their own transactions.

use std::time::Duration;

use polity_integrations::consent::{self, By, EntityType, Place, Purpose, SubjectKind};
use polity_testing::{App, Person};
use serde_json::json;

use super::{granted, happened, look, revoke, said};

/// Long enough for a request to reach what the test holds.
const A_WHILE: Duration = Duration::from_millis(500);

fn place(person: &Person) -> Place<'_> {
    Place {
        user_id: &person.user_id,
        workspace_id: &person.user_id,
        purpose: Purpose::ThirdParty,
        subject_kind: SubjectKind::OauthConnection,
        entity_type: EntityType::OauthApp,
        entity_id: "github",
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_for_is_what_counts_now() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let active = async || {
            let mut read = app.ctx.db.read().await.unwrap();
            consent::active(&mut read, &place(&ada), app.clock.now()).await.unwrap()
        };
        assert!(active().await.is_none());
        let ends = json!({ "expires_at": "2027-01-15T08:01:00Z" });
        let id = granted(&app, &ada, ends).await;
        let found = active().await.unwrap();
        assert_eq!(found.id, id);
        assert!(found.allows(["read:code"]) && !found.allows(["read:code", "write:code"]));
        app.advance(Duration::from_mins(2));
        assert!(active().await.is_none(), "the clock counts at once");
        let again = granted(&app, &ada, json!({})).await;
        assert_eq!(active().await.unwrap().id, again);
        revoke(&app, &ada, &again).await.expect(200);
        assert!(active().await.is_none());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consent_that_is_held_is_taken_back_afterwards() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let id = granted(&app, &ada, json!({})).await;
        let making = async {
            let mut tx = app.ctx.db.begin().await.unwrap();
            let held = consent::hold(&mut tx, &place(&ada), app.clock.now()).await.unwrap();
            assert_eq!(held.unwrap().id, id);
            tokio::time::sleep(A_WHILE).await;
            assert!(app.doubles.stopped().is_empty(), "nothing is stopped before it is made");
            tx.commit().await.unwrap();
        };
        let revoking = async {
            tokio::time::sleep(A_WHILE / 3).await;
            revoke(&app, &ada, &id).await.expect(200);
        };
        tokio::join!(making, revoking);
        assert_eq!(app.doubles.stopped(), [format!("ended {id} revoked")]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_ended_what_rested_on_a_consent_withdraws_it() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let id = granted(&app, &ada, json!({})).await;
        for is_there in [true, false] {
            let mut tx = app.ctx.db.begin().await.unwrap();
            let done = consent::withdraw(&mut tx, &app.ctx, &place(&ada), &By::nobody())
                .await
                .unwrap();
            assert_eq!(done, is_there);
            tx.commit().await.unwrap();
        }
        let ended = look(&app, &ada.user_id, &id).await;
        assert_eq!(
            (&ended["status"], &ended["end_reason"]),
            (&json!("revoked"), &json!("disconnected"))
        );
        assert!(
            app.doubles.stopped().is_empty(),
            "it has stopped what it knows of itself"
        );
        assert_eq!(happened(&app, &ada.user_id).await, ["granted", "revoked"]);
        assert_eq!(said(&app, "revoked").await[0].data["reason"], "disconnected");
    })
    .await;
}
