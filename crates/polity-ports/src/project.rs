//! What projects are asked.

use polity_kernel::{
    caller::Pending,
    db::{Conn, Result},
};

/// What somebody is to a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProjectRole {
    /// It is theirs.
    Owner,
    /// They accepted a share that lets them change it.
    Editor,
    /// They accepted a share that lets them look at it.
    Viewer,
    /// They have no share, but everybody may look at it.
    Reader,
}

/// Knows projects and with whom they are shared. Nothing implements it yet: nobody then has a share.
pub trait Projects: Send + Sync {
    /// What somebody is to a project; `None`: nothing, or there is no such project.
    fn role<'a>(
        &'a self,
        conn: &'a mut Conn,
        project_id: &'a str,
        user_id: &'a str,
    ) -> Pending<'a, Result<Option<ProjectRole>>>;
}
