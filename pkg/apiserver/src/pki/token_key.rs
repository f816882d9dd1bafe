//! JSON web tokens signed with ES256 (RFC 7515, RFC 7518 section 3.4). Must not know what the claims mean.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject};
use serde_json::{Value, json};

use super::PkiError;

/// Why a text is not one of our tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not three base64url parts with JSON inside.
    #[error("malformed token")]
    Malformed,
    /// Another algorithm, or signed by another key.
    #[error("invalid signature")]
    Signature,
}

/// An ECDSA P-256 key that signs claims and checks signatures.
pub struct TokenKey {
    pair: EcdsaKeyPair,
    random: SystemRandom,
    id: String,
}

impl TokenKey {
    /// From a PKCS #8 private key in PEM.
    pub fn from_pem(pem: &str) -> Result<TokenKey, PkiError> {
        let what = || "read the token key".to_owned();
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|cause| PkiError::Crypto { what: what(), cause: cause.to_string() })?;
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_pkcs8_der(), &random)
            .map_err(|cause| PkiError::Crypto { what: what(), cause: cause.to_string() })?;
        let id = URL_SAFE_NO_PAD.encode(ring::digest::digest(&ring::digest::SHA256, pair.public_key().as_ref()));
        Ok(TokenKey { pair, random, id })
    }

    /// The compact form of `claims`, signed.
    pub fn sign(&self, claims: &Value) -> Result<String, PkiError> {
        let header = json!({"alg": "ES256", "kid": self.id});
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encode(&header), encode(claims));
        let signature = self
            .pair
            .sign(&self.random, message.as_bytes())
            .map_err(|cause| PkiError::Crypto { what: "sign a token".into(), cause: cause.to_string() })?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// The public key as a JSON web key (RFC 7517), for those who check tokens themselves.
    pub fn public_jwk(&self) -> Value {
        // An uncompressed point: one byte of form, then x and y.
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        let encode = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
        json!({"use": "sig", "kty": "EC", "kid": self.id, "crv": "P-256", "alg": "ES256", "x": encode(x), "y": encode(y)})
    }

    /// The claims of a token that this key signed. Times and audience are the caller's to check.
    pub fn verify(&self, token: &str) -> Result<Value, TokenError> {
        let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, claims) = message.split_once('.').ok_or(TokenError::Malformed)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed);
        let parse = |bytes: Vec<u8>| serde_json::from_slice::<Value>(&bytes).map_err(|_| TokenError::Malformed);
        if parse(decode(header)?)?["alg"] != "ES256" {
            return Err(TokenError::Signature);
        }
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.pair.public_key().as_ref())
            .verify(message.as_bytes(), &decode(signature)?)
            .map_err(|_| TokenError::Signature)?;
        parse(decode(claims)?)
    }
}
