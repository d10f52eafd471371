//! What somebody may do with a project, by the shares they accepted.

use polity_kernel::Value;
use polity_ports::project::ProjectRole;

use crate::authorization::{Authorization, Error};

/// What somebody wants to do with a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Value)]
pub(in crate::authorization) enum Asked {
    /// Look at it.
    Read,
    /// Change it.
    Write,
    /// Run it.
    Admin,
}

/// Whether somebody may; if not, why. What cannot be decided now is refused (EC-017).
pub(in crate::authorization) async fn check_project(
    authorization: &Authorization,
    user_id: &str,
    project_id: &str,
    asked: Asked,
) -> Option<String> {
    let found = refused(authorization, user_id, project_id, asked).await;
    found.unwrap_or_else(|error| {
        tracing::warn!(error = %error, "the role in a project cannot be found out; it is refused");
        Some("could not verify project role; please retry".to_owned())
    })
}

async fn refused(
    authorization: &Authorization,
    user_id: &str,
    project_id: &str,
    asked: Asked,
) -> Result<Option<String>, Error> {
    let mut read = authorization.ctx.db.read().await?;
    let person = authorization.person(&mut read, user_id).await?;
    if !person.is_active {
        return Ok(Some("User not found or inactive".to_owned()));
    }
    let is_strict = authorization.settings.strict_project_reads;
    if asked == Asked::Read && !is_strict {
        return Ok(None);
    }
    let role = match &authorization.others.projects {
        None => None,
        Some(projects) => projects.role(&mut read, project_id, user_id).await?,
    };
    Ok(refusal(role, asked, user_id, project_id))
}

/// Why a role does not suffice.
fn refusal(role: Option<ProjectRole>, asked: Asked, user_id: &str, project_id: &str) -> Option<String> {
    match (role, asked) {
        (Some(ProjectRole::Owner), _)
        | (Some(ProjectRole::Editor), Asked::Read | Asked::Write)
        | (Some(ProjectRole::Viewer | ProjectRole::Reader), Asked::Read) => None,
        (None | Some(ProjectRole::Reader), _) => {
            Some(format!("user {user_id} has no accepted share on project {project_id}"))
        }
        (Some(ProjectRole::Editor), Asked::Admin) => Some(format!(
            "role 'editor' cannot perform admin actions on project {project_id}"
        )),
        (Some(ProjectRole::Viewer), Asked::Write) => {
            Some(format!("role 'viewer' is read-only on project {project_id}"))
        }
        (Some(ProjectRole::Viewer), Asked::Admin) => Some(format!(
            "role 'viewer' cannot perform admin actions on project {project_id}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_in_projects_suffice_for_what_the_contract_says() {
        let ask = |role, asked| refusal(role, asked, "usr_a", "prj_b");
        for role in [
            ProjectRole::Owner,
            ProjectRole::Editor,
            ProjectRole::Viewer,
            ProjectRole::Reader,
        ] {
            assert_eq!(ask(Some(role), Asked::Read), None);
        }
        let none = "user usr_a has no accepted share on project prj_b";
        for asked in [Asked::Read, Asked::Write, Asked::Admin] {
            assert_eq!(ask(Some(ProjectRole::Owner), asked), None);
            assert_eq!(ask(None, asked).as_deref(), Some(none));
        }
        assert_eq!(ask(Some(ProjectRole::Reader), Asked::Write).as_deref(), Some(none));
        assert_eq!(ask(Some(ProjectRole::Editor), Asked::Write), None);
        let text = ask(Some(ProjectRole::Viewer), Asked::Write);
        assert_eq!(text.as_deref(), Some("role 'viewer' is read-only on project prj_b"));
        let text = ask(Some(ProjectRole::Editor), Asked::Admin);
        assert_eq!(
            text.as_deref(),
            Some("role 'editor' cannot perform admin actions on project prj_b")
        );
    }
}
