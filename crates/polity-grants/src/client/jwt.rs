//! Signed statements (RFC 7523): about the client, or about whom it acts for.

use jsonwebtoken::{EncodingKey, Header, encode};
use polity_seal::Secret;
use serde_json::{Map, Value, json};

use crate::{
    clock::{Millis, Random, SECOND},
    failure::Failure,
};

/// How a statement is signed (RFC 7518 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA with SHA-256.
    Rs256,
    /// ECDSA on P-256.
    Es256,
    /// HMAC with SHA-256 and a shared secret.
    Hs256,
}

/// What signs.
#[derive(Debug, Clone)]
pub struct SigningKey {
    /// How.
    pub algorithm: Algorithm,
    /// `kid`, by which the provider finds the public key.
    pub key_id: Option<String>,
    /// The private key as PEM; the shared secret itself for [`Algorithm::Hs256`].
    pub key: Secret,
}

/// What is stated.
#[derive(Debug, Clone)]
pub struct Assertion {
    /// `iss`.
    pub issuer: String,
    /// `sub`.
    pub subject: String,
    /// `aud`.
    pub audience: String,
    /// How long it holds, in seconds.
    pub lifetime: u32,
    /// Further claims. Those above win.
    pub more: Map<String, Value>,
}

/// Signs it; `now` in unix milliseconds. Each has a `jti` of its own.
pub(super) fn sign(key: &SigningKey, claims: &Assertion, now: Millis, random: &dyn Random) -> Result<Secret, Failure> {
    let secret = key.key.expose().as_bytes();
    let (algorithm, encoding) = match key.algorithm {
        Algorithm::Rs256 => (jsonwebtoken::Algorithm::RS256, EncodingKey::from_rsa_pem(secret)),
        Algorithm::Es256 => (jsonwebtoken::Algorithm::ES256, EncodingKey::from_ec_pem(secret)),
        Algorithm::Hs256 => (jsonwebtoken::Algorithm::HS256, Ok(EncodingKey::from_secret(secret))),
    };
    // The cause is not kept: it could quote the key.
    let wrong = |_| Failure::misconfigured("the key of the client cannot sign");
    let mut id = [0; 16];
    random.fill(&mut id);
    let issued = now.div_euclid(SECOND);
    let mut body = claims.more.clone();
    body.insert("iss".to_owned(), json!(claims.issuer));
    body.insert("sub".to_owned(), json!(claims.subject));
    body.insert("aud".to_owned(), json!(claims.audience));
    body.insert("iat".to_owned(), json!(issued));
    body.insert("exp".to_owned(), json!(issued + i64::from(claims.lifetime)));
    body.insert("jti".to_owned(), json!(format!("{:032x}", u128::from_le_bytes(id))));
    let mut header = Header::new(algorithm);
    header.kid.clone_from(&key.key_id);
    Ok(encode(&header, &body, &encoding.map_err(wrong)?).map_err(wrong)?.into())
}
