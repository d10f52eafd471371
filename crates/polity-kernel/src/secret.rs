//! Secrets at rest: sealed columns, and keyed hashes of tokens.
//!
//! The master keys live in the keyring file and seal columns; each sealed value is bound to its table, row and column, so
//! that it opens nowhere else. Tokens are stored as keyed hashes; the key of these hashes is itself a sealed row, so that
//! rotating the master key changes no hash. [`Secrets::reseal`] re-encrypts everything that an old key sealed, in small
//! transactions while requests go on; after it, the old key can be retired.

use std::sync::Arc;

use polity_seal::{HashKey, KeyId, Keyring, SealError, TokenHash};
pub use polity_seal::{constant_time_eq, random_bytes, random_code, random_url_safe};
use zeroize::Zeroizing;

use crate::{
    clock::Clock,
    db::{Cell, Db, Param, Result as DbResult, Value},
};

/// A sealed column: where it is. Every service lists its own, so that rotation finds them.
#[derive(Debug, Clone, Copy)]
pub struct SealedColumn {
    /// The table.
    pub table: &'static str,
    /// Its key: one text column.
    pub id: &'static str,
    /// The column.
    pub column: &'static str,
    place: Option<fn(&str) -> Vec<u8>>,
}

impl SealedColumn {
    /// The column of a table whose key is `id`. A value is bound to the table, the column and the row's key.
    #[must_use]
    pub const fn new(table: &'static str, id: &'static str, column: &'static str) -> Self {
        Self {
            table,
            id,
            column,
            place: None,
        }
    }

    /// The same, for values that a library seals by itself: `place` says what binds the value of a row's key.
    #[must_use]
    pub const fn bound_by(mut self, place: fn(&str) -> Vec<u8>) -> Self {
        self.place = Some(place);
        self
    }

    /// What binds a value to its place.
    fn place(&self, id: &str) -> Vec<u8> {
        match self.place {
            Some(place) => place(id),
            None => format!("{}\0{}\0{id}", self.table, self.column).into_bytes(),
        }
    }
}

/// A column is one, however its values are bound.
impl PartialEq for SealedColumn {
    fn eq(&self, other: &Self) -> bool {
        (self.table, self.id, self.column) == (other.table, other.id, other.column)
    }
}

impl Eq for SealedColumn {}

/// A sealed value, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed(Vec<u8>);

impl Value for Sealed {
    fn bind(&self) -> Param<'_> {
        self.0.as_slice().bind()
    }
    fn read(cell: Cell<'_>) -> DbResult<Self> {
        Vec::read(cell).map(Self)
    }
}

/// The column that holds the keys of token hashes.
pub const HASH_KEYS: SealedColumn = SealedColumn::new("hash_key", "id", "sealed");

/// Sealing and hashing. Cheap to clone.
#[derive(Clone)]
pub struct Secrets(Arc<Inner>);

struct Inner {
    keyring: Keyring,
    hash: HashKey,
}

/// Sealed values are resealed so many at a time.
const BATCH: i64 = 200;

/// What went wrong with the secrets of this installation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Db(#[from] crate::db::Error),
    /// A value that does not open.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A row of `hash_key` that is none.
    #[error("the stored hash key {0} is damaged; restore the table hash_key from a backup")]
    Damaged(String),
}

impl Secrets {
    /// Takes the keyring and loads the hash key, which the first start makes.
    ///
    /// # Errors
    /// If the stored hash key does not open with this keyring: the error names the key that is missing.
    pub async fn open(keyring: Keyring, db: &Db, clock: &Clock) -> Result<Self, Error> {
        let hash = match load(&keyring, db).await? {
            Some(hash) => hash,
            None => create(&keyring, db, clock).await?,
        };
        Ok(Self(Arc::new(Inner { keyring, hash })))
    }

    /// The keyring.
    #[must_use]
    pub fn keyring(&self) -> &Keyring {
        &self.0.keyring
    }

    /// Seals a value for one place.
    #[must_use]
    pub fn seal(&self, column: SealedColumn, id: &str, plaintext: &[u8]) -> Sealed {
        Sealed(self.0.keyring.seal(&column.place(id), plaintext))
    }

    /// Opens the value of one place.
    ///
    /// # Errors
    /// If the key is missing (named), or the value is damaged or of another place.
    pub fn open_sealed(
        &self,
        column: SealedColumn,
        id: &str,
        sealed: &Sealed,
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        self.0.keyring.open(&column.place(id), &sealed.0)
    }

    /// The keyed hash under which a token is stored and found. `purpose` keeps kinds of tokens apart.
    #[must_use]
    pub fn hash(&self, purpose: &str, token: &str) -> TokenHash {
        self.0.hash.hash(purpose, token.as_bytes())
    }

    /// Whether `token` has that hash, in constant time.
    #[must_use]
    pub fn verify(&self, purpose: &str, token: &str, hash: &str) -> bool {
        polity_seal::constant_time_eq(self.hash(purpose, token).as_str().as_bytes(), hash.as_bytes())
    }

    /// Seals again what another than the current key sealed, while requests go on; says how many values that were.
    ///
    /// A value that changes in the meantime is left alone: whoever changed it sealed it with the current key.
    ///
    /// # Errors
    /// If a value does not open. What was resealed until then stays so.
    pub async fn reseal(&self, db: &Db, columns: &[SealedColumn]) -> Result<u64, Error> {
        let mut resealed = 0;
        for column in columns {
            let mut after = String::new();
            while let Some((last, count)) = self.reseal_batch(db, *column, &after).await? {
                resealed += count;
                after = last;
            }
        }
        Ok(resealed)
    }

    async fn reseal_batch(&self, db: &Db, column: SealedColumn, after: &str) -> Result<Option<(String, u64)>, Error> {
        let SealedColumn {
            table,
            id,
            column: name,
            ..
        } = column;
        let select =
            format!("select {id}, {name} from {table} where {id} > $1 and {name} is not null order by {id} limit $2");
        let update = format!("update {table} set {name} = $3 where {id} = $1 and {name} = $2");
        let mut tx = db.begin().await?;
        let rows: Vec<(String, Sealed)> = tx.query(select.into(), vec![after.bind(), BATCH.bind()]).all().await?;
        let Some(last) = rows.last().map(|(id, _)| id.clone()) else {
            return Ok(None);
        };
        let mut count = 0;
        for (id, sealed) in rows {
            if let Some(fresh) = self.0.keyring.reseal(&column.place(&id), &sealed.0)?.map(Sealed) {
                let params = vec![id.bind(), sealed.bind(), fresh.bind()];
                count += tx.query(update.clone().into(), params).execute().await?;
            }
        }
        tx.commit().await?;
        Ok(Some((last, count)))
    }

    /// How many stored values `key` sealed; it can be retired when there are none.
    ///
    /// # Errors
    /// What the database says.
    pub async fn uses(&self, db: &Db, columns: &[SealedColumn], key: &KeyId) -> Result<u64, Error> {
        let key = key.to_string();
        let mut uses = 0;
        for SealedColumn { table, id, column, .. } in columns {
            let select = format!(
                "select {id}, {column} from {table} where {id} > $1 and {column} is not null order by {id} limit $2"
            );
            let mut after = String::new();
            loop {
                let mut read = db.read().await?;
                let params = vec![after.bind(), BATCH.bind()];
                let rows: Vec<(String, Sealed)> = read.query(select.clone().into(), params).all().await?;
                let Some((last, _)) = rows.last() else { break };
                let next = last.clone();
                uses += rows
                    .iter()
                    .filter(|(_, sealed)| polity_seal::key_id_of(&sealed.0) == Some(&key))
                    .count() as u64;
                after = next;
            }
        }
        Ok(uses)
    }
}

async fn load(keyring: &Keyring, db: &Db) -> Result<Option<HashKey>, Error> {
    let mut read = db.read().await?;
    let row = read
        .sql("select id, sealed from hash_key order by created_at, id limit 1")
        .optional::<(String, Sealed)>()
        .await?;
    let Some((id, sealed)) = row else { return Ok(None) };
    let bytes = keyring.open(&HASH_KEYS.place(&id), &sealed.0)?;
    let bytes: [u8; 32] = bytes.as_slice().try_into().map_err(|_| Error::Damaged(id.clone()))?;
    let id: KeyId = id.parse().map_err(|_| Error::Damaged(id))?;
    Ok(Some(HashKey::from_bytes(id, bytes)))
}

/// Replicas that start together on an empty database agree on one: whoever comes second finds the first one's.
async fn create(keyring: &Keyring, db: &Db, clock: &Clock) -> Result<HashKey, Error> {
    let mut tx = db.begin().await?;
    tx.lock("hash_key", "first").await?;
    let there = tx.sql("select count(*) from hash_key").one::<(i64,)>().await?.0;
    if there == 0 {
        let key = HashKey::generate();
        let id = key.id().to_string();
        let sealed = Sealed(keyring.seal(&HASH_KEYS.place(&id), key.expose()));
        let now = clock.now();
        tx.sql("insert into hash_key (id, sealed, created_at) values ($1, $2, $3)")
            .bind(&id)
            .bind(&sealed)
            .bind(&now)
            .execute()
            .await?;
    }
    tx.commit().await?;
    load(keyring, db).await?.ok_or_else(|| Error::Damaged("?".to_owned()))
}
