//! The catalogue of scopes: everybody sees it, operators keep it.

use polity_kernel::db::{Conn, List, Tx};

use crate::credential::{
    Credentials, Error,
    store::scopes::{self, MOST, Scope},
};

/// The scopes that can be given, by name; for operators the deprecated ones too.
pub(crate) async fn scopes(read: &mut Conn, deprecated: bool) -> Result<Vec<Scope>, Error> {
    Ok(scopes::list(read, deprecated).await?)
}

/// One scope.
pub(crate) async fn scope(conn: &mut Conn, name: &str) -> Result<Scope, Error> {
    let found = scopes::named(conn, &List::of([name])).await?;
    found.into_iter().next().ok_or(Error::ScopeNotFound)
}

/// A scope to add.
pub(crate) struct NewScope {
    pub scope_name: String,
    pub description: Option<String>,
    pub is_default: bool,
}

/// Adds a scope. Its name, `verb:resource`, says the rest.
pub(crate) async fn add_scope(tx: &mut Tx, credentials: &Credentials, new: NewScope) -> Result<Scope, Error> {
    tx.lock("api_scope", "all").await?;
    if scopes::count(tx).await? >= MOST {
        return Err(Error::Field(
            "scope_name",
            format!("There may be at most {MOST} scopes"),
        ));
    }
    let (verb, resource) = new.scope_name.split_once(':').unwrap_or_default();
    let scope = Scope {
        description: new.description,
        resource_type: resource.to_owned(),
        permission_type: verb.to_owned(),
        is_default: new.is_default,
        is_deprecated: false,
        created_at: None,
        updated_at: None,
        name: new.scope_name,
    };
    if !scopes::insert(tx, &scope, credentials.ctx.clock.now()).await? {
        return Err(Error::ScopeExists(scope.name));
    }
    self::scope(tx, &scope.name).await
}

/// What is to change; what is `None` stays.
pub(crate) struct ScopeChange {
    pub description: Option<String>,
    pub is_default: Option<bool>,
    pub is_deprecated: Option<bool>,
}

/// Changes a scope. A deprecated one is given to nobody any more; who has it keeps it.
pub(crate) async fn change_scope(
    tx: &mut Tx,
    credentials: &Credentials,
    name: &str,
    change: ScopeChange,
) -> Result<Scope, Error> {
    tx.lock("api_scope", "all").await?;
    let mut scope = scope(tx, name).await?;
    scope.description = change.description.or(scope.description);
    scope.is_default = change.is_default.unwrap_or(scope.is_default);
    scope.is_deprecated = change.is_deprecated.unwrap_or(scope.is_deprecated);
    scopes::update(tx, &scope, credentials.ctx.clock.now()).await?;
    self::scope(tx, name).await
}
