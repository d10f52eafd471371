//! Access tokens: JSON Web Tokens (RFC 7519), signed and verified. The algorithm is ours, never the token's (BR-TOK-002).

use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, decode, decode_header, encode};

use super::{
    Auth, Error,
    model::{Claims, Scope, Session, TokenType},
};

/// A token longer than this is none of ours; refused before any work, in bytes.
const LONGEST: usize = 16 << 10;
/// The issuer of the earlier platform.
const LEGACY_ISSUER: &str = "isA_user";

/// Why a token proves nothing (the contract's texts).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    Expired,
    Invalid,
    Issuer,
    Type,
    Revoked,
}

impl Refused {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Expired => "Token has expired",
            Self::Invalid => "Invalid token: it is malformed or its signature does not match",
            Self::Issuer => "Invalid token issuer",
            Self::Type => "Invalid token type",
            Self::Revoked => "Token has been revoked",
        }
    }
}

impl Auth {
    /// The issuer of our tokens.
    pub(super) fn issuer(&self) -> String {
        let url = self.ctx.core.public_url.as_ref();
        url.map_or_else(
            || "http://localhost".to_owned(),
            |url| url.as_str().trim_end_matches('/').to_owned(),
        )
    }

    /// An access token for a session, and its claims.
    pub(super) fn issue(&self, session: &Session, email: &str) -> Result<(String, Claims), Error> {
        let now = self.ctx.clock.now().timestamp();
        let ttl = i64::from(if session.scope == Scope::Admin {
            self.settings.admin_access_ttl
        } else {
            self.settings.access_ttl
        });
        let claims = Claims {
            iss: self.issuer(),
            sub: session.user_id.clone(),
            iat: now,
            exp: now + ttl,
            jti: self.ctx.ids.jti(),
            kind: TokenType::Access,
            scope: session.scope,
            sid: Some(session.id.clone()),
            email: Some(email.to_owned()),
            organization_id: session.organization_id.clone(),
            permissions: session.permissions.0.clone(),
            metadata: session.metadata.0.clone(),
            device_id: None,
            device_type: None,
        };
        Ok((self.sign(&claims)?, claims))
    }

    /// Signs claims; none that could not be verified for their length.
    pub(super) fn sign(&self, claims: &Claims) -> Result<String, Error> {
        let (kid, key) = self.keys.signing()?;
        let header = Header {
            kid: Some(kid),
            ..Header::new(Algorithm::EdDSA)
        };
        let token = encode(&header, claims, &key).map_err(|error| Error::Internal(error.to_string()))?;
        if token.len() > LONGEST {
            return Err(Error::TokenTooLong);
        }
        Ok(token)
    }

    /// The claims of a token whose signature, issuer, time and session hold. Signature first, then the rest.
    pub(super) async fn verify(&self, token: &str) -> Result<Result<Claims, Refused>, Error> {
        let claims = match self.verify_signature(token).await {
            Ok(claims) => claims,
            Err(refused) => return Ok(Err(refused)),
        };
        // At the second of `exp` it has ended: no leeway.
        if self.ctx.clock.now().timestamp() >= claims.exp {
            return Ok(Err(Refused::Expired));
        }
        if let Some(sid) = &claims.sid
            && self.revoked.has(&self.ctx, sid).await?
        {
            return Ok(Err(Refused::Revoked));
        }
        Ok(Ok(claims))
    }

    async fn verify_signature(&self, token: &str) -> Result<Claims, Refused> {
        if token.len() > LONGEST {
            return Err(Refused::Invalid);
        }
        let header = decode_header(token).map_err(|_| Refused::Invalid)?;
        let legacy = self
            .settings
            .legacy_jwt_secret
            .as_ref()
            .filter(|_| header.alg == Algorithm::HS256);
        if let Some(secret) = legacy {
            let key = DecodingKey::from_secret(secret.expose().as_bytes());
            let claims = check(token, &key, Algorithm::HS256)?;
            return if claims.iss == LEGACY_ISSUER {
                Ok(claims)
            } else {
                Err(Refused::Issuer)
            };
        }
        let kid = header.kid.ok_or(Refused::Invalid)?;
        let key = self.keys.verifying(&kid).await.ok_or(Refused::Invalid)?;
        let claims = check(token, &key, Algorithm::EdDSA)?;
        if claims.iss == self.issuer() {
            Ok(claims)
        } else {
            Err(Refused::Issuer)
        }
    }
}

fn check(token: &str, key: &DecodingKey, algorithm: Algorithm) -> Result<Claims, Refused> {
    let mut validation = Validation::new(algorithm);
    // Times are compared with the injected clock, and there is no audience to compare.
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    decode::<Claims>(token, key, &validation)
        .map(|data| data.claims)
        .map_err(|_| Refused::Invalid)
}

#[cfg(test)]
mod properties {
    use jsonwebtoken::EncodingKey;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const SECRET: &[u8] = b"a secret of the tests, long enough for HS256";

    fn token(claims: &serde_json::Value) -> String {
        encode(
            &Header::new(Algorithm::HS256),
            claims,
            &EncodingKey::from_secret(SECRET),
        )
        .unwrap()
    }

    fn checked(token: &str) -> Result<Claims, Refused> {
        check(token, &DecodingKey::from_secret(SECRET), Algorithm::HS256)
    }

    fn claims() -> serde_json::Value {
        json!({ "iss": "x", "sub": "usr_1", "iat": 1, "exp": 2, "jti": "1", "type": "access", "scope": "user" })
    }

    #[test]
    fn the_token_of_these_tests_is_good() {
        assert_eq!(checked(&token(&claims())).unwrap().sub, "usr_1");
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String, near in "[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}") {
            prop_assert!(checked(&text).is_err() && checked(&near).is_err());
        }

        #[test]
        fn one_other_character_is_refused(place: prop::sample::Index, with in "[A-Za-z0-9_.-]") {
            let good = token(&claims());
            let at = place.index(good.len());
            let mut bad = good.clone();
            bad.replace_range(at..=at, &with);
            // The last character of the signature carries bits that no byte uses.
            prop_assume!(bad != good && at + 1 < good.len());
            prop_assert!(checked(&bad).is_err(), "{bad}");
        }

        #[test]
        fn claims_of_any_shape_are_read_or_refused(name in "(iss|sub|iat|exp|type|scope|sid|email|permissions|metadata)", number: i64, text: String) {
            for value in [json!(null), json!(number), json!(text), json!([text]), json!({ "a": number }), json!(1e300)] {
                let mut claims = claims();
                claims[&name] = value;
                drop(checked(&token(&claims)));
            }
        }
    }
}
