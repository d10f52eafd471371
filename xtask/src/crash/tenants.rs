//! Organizations that are made, filled and deleted, and people who go: what is theirs has to go with them, whatever is killed
//! on the way.

use serde_json::{Value, json};

use super::clients::{Client, Person, text};

const ORGANIZATIONS: &str = "/api/v1/organization/organizations";

impl Client {
    /// Makes an organization of somebody's with a bit of everything, and deletes it; or lets its owner's account be deleted.
    /// Steps whose answers are lost may have been done or not.
    pub(super) async fn rise_and_fall(&mut self, who: usize) {
        let Person { access, user_id, .. } = self.people[who].clone();
        let token = Some(access.as_str());
        let body = json!({ "name": "Rise and Fall", "billing_email": "b@example.com" });
        let organization = match self.once("POST", ORGANIZATIONS, token, &body).await {
            Some((200, made)) => text(&made, "organization_id"),
            Some((401, _)) => return self.refresh(who).await,
            _ => return,
        };
        let friend = self.people[(who + 1) % self.people.len()].user_id.clone();
        for (method, path, body) in belongings(&organization, &friend) {
            let is_services = path.starts_with("/api/v1/authorization/");
            self.once(method, &path, if is_services { None } else { token }, &body)
                .await;
        }
        if self.people.len() > 5 && self.random.u8(0..4) == 0 {
            let path = format!("/api/v1/accounts/profile/{user_id}");
            match self.once("DELETE", &path, token, &Value::Null).await {
                Some((200, _)) => self.gone.push(user_id),
                Some(_) => return,
                // Done or not: nothing more can be said of them.
                None => {}
            }
            self.people.remove(who);
            return;
        }
        let path = format!("{ORGANIZATIONS}/{organization}");
        if let Some((200, _)) = self.once("DELETE", &path, token, &Value::Null).await {
            self.ended.push(organization);
        }
    }
}

/// What is made in an organization: a member, a key, an invitation, something shared, and permissions.
fn belongings(organization: &str, friend: &str) -> [(&'static str, String, Value); 6] {
    let place = format!("{ORGANIZATIONS}/{organization}");
    let permission = format!("/api/v1/authorization/organizations/{organization}/permissions/mcp_tool/plotter");
    [
        ("POST", format!("{place}/members"), json!({ "user_id": friend })),
        (
            "POST",
            "/api/v1/auth/api-keys".to_owned(),
            json!({ "organization_id": organization, "name": "k" }),
        ),
        (
            "POST",
            format!("/api/v1/invitations/organizations/{organization}"),
            json!({ "email": "nobody@example.com" }),
        ),
        (
            "POST",
            format!("{place}/sharing"),
            json!({ "resource_type": "device", "resource_id": "d", "share_with_all_members": true }),
        ),
        ("PUT", permission, json!({ "access_level": "read_only" })),
        (
            "POST",
            "/api/v1/authorization/grant".to_owned(),
            json!({
                "user_id": friend, "resource_type": "mcp_tool", "resource_name": "plotter", "access_level": "read_write",
                "permission_source": "organization", "organization_id": organization,
            }),
        ),
    ]
}

/// What may not be there when everything is done: what, and the ids of it.
pub(super) const LEFT_BEHIND: [(&str, &str); 12] = [
    (
        "a membership outlived its organization",
        "select membership.organization_id from membership
         join organization on organization.organization_id = membership.organization_id
         where organization.status = 'deleted' and membership.status <> 'inactive' limit 5",
    ),
    (
        "a membership outlived its person",
        "select membership.user_id from membership join account on account.user_id = membership.user_id
         where account.deleted_at is not null and membership.status <> 'inactive' limit 5",
    ),
    (
        "a key outlived its organization",
        "select credential.id from credential join organization on organization.organization_id = credential.organization_id
         where organization.status = 'deleted' and credential.revoked_at is null limit 5",
    ),
    (
        "an invitation outlived its organization",
        "select invitation_id from invitation
         join organization on organization.organization_id = invitation.organization_id
         where organization.status = 'deleted' and invitation.status = 'pending' limit 5",
    ),
    (
        "an invitation outlived who sent it",
        "select invitation_id from invitation join account on account.user_id = invitation.invited_by
         where account.deleted_at is not null and invitation.status = 'pending' limit 5",
    ),
    (
        "a sharing outlived its organization",
        "select sharing_id from sharing join organization on organization.organization_id = sharing.organization_id
         where organization.status = 'deleted' and sharing.status in ('active', 'paused') limit 5",
    ),
    (
        "a permission outlived its organization",
        "select permission.id from permission join organization on organization.organization_id = permission.organization_id
         where organization.status = 'deleted' limit 5",
    ),
    (
        "a permission outlived its person",
        "select permission.id from permission join account on account.user_id = permission.user_id
         where account.deleted_at is not null limit 5",
    ),
    (
        "what an organization has outlived it",
        "select permission.organization_id from organization_permission as permission
         join organization on organization.organization_id = permission.organization_id
         where organization.status = 'deleted' limit 5",
    ),
    (
        "a session outlived its person",
        "select auth_session.id from auth_session join account on account.user_id = auth_session.user_id
         where account.deleted_at is not null and auth_session.invalidated_at is null limit 5",
    ),
    (
        "an active organization has no owner",
        "select organization_id from organization
         where status = 'active' and not exists (
             select 1 from membership where membership.organization_id = organization.organization_id
                and membership.role = 'owner' and membership.status = 'active') limit 5",
    ),
    (
        "an organization has another number of members than it says",
        "select organization_id from organization
         where member_count <> (select count(*) from membership
             where membership.organization_id = organization.organization_id and membership.status = 'active') limit 5",
    ),
];
