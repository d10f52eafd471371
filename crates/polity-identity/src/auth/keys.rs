//! Signing keys: Ed25519 (RFC 8032, 8037), rotated, published as a JWK set (RFC 7517).
//!
//! The newest key signs; keys that were replaced verify for as long as a token may live. The private half is a sealed column.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
    time::Duration,
};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{DecodingKey, EncodingKey};
use polity_kernel::{Ctx, clock::Timestamp, secret::SealedColumn};
use serde_json::json;

use super::{
    Auth, Error,
    store::keys::{self, SigningKeyRow},
};

/// Where private keys are sealed.
pub(super) const COLUMN: SealedColumn = SealedColumn::new("signing_key", "kid", "sealed");

/// How much longer a replaced key verifies than the longest token lives: a replica that has not read the new one yet still
/// signs with it.
const MARGIN: Duration = Duration::from_hours(1);
/// How often the keys are read anew, for those that another replica made.
const EVERY: Duration = Duration::from_mins(1);
/// What was read less long ago than this is not read again, however often it is asked for.
const FRESH: Duration = Duration::from_secs(1);

/// The keys of this process.
pub(super) struct SigningKeys {
    ctx: Ctx,
    verifies: Duration,
    loaded: RwLock<Loaded>,
    /// Held while the keys are read: whoever comes meanwhile waits for that reading and makes none of their own.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Loaded {
    signing: Option<(String, EncodingKey)>,
    verifying: HashMap<String, DecodingKey>,
    jwks: serde_json::Value,
    at: Option<Timestamp>,
}

impl SigningKeys {
    /// Loads the keys, of which a replaced one verifies for as long as the longest token lives; the first start makes one.
    pub(super) async fn open(ctx: &Ctx, longest_token: Duration) -> Result<Self, Error> {
        let keys = Self {
            ctx: ctx.clone(),
            verifies: longest_token + MARGIN,
            loaded: RwLock::default(),
            reading: tokio::sync::Mutex::default(),
        };
        if !keys.load().await? {
            keys.make(true).await?;
            keys.load().await?;
        }
        Ok(keys)
    }

    /// Makes a key that signs from now on.
    pub(super) async fn rotate(&self) -> Result<(), Error> {
        self.make(false).await?;
        self.load().await.map(drop)
    }

    /// Replicas that start together on an empty database agree on one key: `only_first` makes none if there is one.
    async fn make(&self, only_first: bool) -> Result<(), Error> {
        let ctx = &self.ctx;
        let internal = |_| Error::Internal("a signing key could not be made".to_owned());
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new()).map_err(internal)?;
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).map_err(|error| Error::Internal(error.to_string()))?;
        let kid = ctx.ids.new_id("key_");
        let row = SigningKeyRow {
            sealed: ctx.secrets.seal(COLUMN, &kid, pkcs8.as_ref()),
            public_key: pair.public_key().as_ref().to_vec(),
            replaced_at: None,
            kid,
        };
        let now = ctx.clock.now();
        let mut tx = ctx.db.begin().await?;
        tx.lock("signing_key", "all").await?;
        if !only_first || keys::list(&mut tx, now).await?.is_empty() {
            keys::insert(&mut tx, &row, now).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Reads the keys anew; says whether there are any.
    async fn load(&self) -> Result<bool, Error> {
        let ctx = &self.ctx;
        let now = ctx.clock.now();
        let rows = keys::list(&mut *ctx.db.read().await?, self.retired_before()).await?;
        let mut loaded = Loaded {
            at: Some(now),
            ..Loaded::default()
        };
        let mut set = Vec::new();
        for row in rows {
            if row.replaced_at.is_none() && loaded.signing.is_none() {
                let opened = ctx.secrets.open_sealed(COLUMN, &row.kid, &row.sealed);
                let private = opened.map_err(|error| Error::Internal(error.to_string()))?;
                loaded.signing = Some((row.kid.clone(), EncodingKey::from_ed_der(&private)));
            }
            set.push(json!({
                "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": row.kid,
                "x": BASE64_URL_SAFE_NO_PAD.encode(&row.public_key),
            }));
            loaded
                .verifying
                .insert(row.kid, DecodingKey::from_ed_der(&row.public_key));
        }
        loaded.jwks = json!({ "keys": set });
        let any = loaded.signing.is_some();
        *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = loaded;
        Ok(any)
    }

    /// The key that signs, and its id.
    pub(super) fn signing(&self) -> Result<(String, EncodingKey), Error> {
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        loaded
            .signing
            .clone()
            .ok_or_else(|| Error::Internal("there is no signing key".to_owned()))
    }

    /// The key with that id. Another replica may have made it, so an unknown one is looked for, once a second at most.
    pub(super) async fn verifying(&self, kid: &str) -> Option<DecodingKey> {
        if let Some(found) = self.known(kid) {
            return Some(found);
        }
        self.reload().await;
        self.known(kid)
    }

    /// Reads the keys anew unless that was done a moment ago. If they cannot be read, the ones known stay.
    async fn reload(&self) {
        let _reading = self.reading.lock().await;
        let last = self.loaded.read().unwrap_or_else(PoisonError::into_inner).at;
        let now = self.ctx.clock.now();
        if last.is_some_and(|last| now >= last && now < last + FRESH) {
            return;
        }
        if let Err(error) = self.load().await {
            tracing::warn!(error = %error, "the signing keys could not be read");
        }
    }

    fn known(&self, kid: &str) -> Option<DecodingKey> {
        self.loaded
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .verifying
            .get(kid)
            .cloned()
    }

    /// Keys that were replaced before this verify nothing any more.
    pub(super) fn retired_before(&self) -> Timestamp {
        self.ctx.clock.now() - self.verifies
    }

    /// The public keys. Whoever asks has met an unknown one, perhaps made by another replica.
    pub(super) async fn jwks(&self) -> serde_json::Value {
        self.reload().await;
        self.loaded.read().unwrap_or_else(PoisonError::into_inner).jwks.clone()
    }
}

/// Takes over keys that other replicas made, until the program stops: nobody signs with a replaced one for long.
pub(super) async fn follow_rotations(auth: Auth) {
    let stop = &auth.ctx.stop;
    while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
        auth.keys.reload().await;
    }
}
