//! `agnhost test-service-account-issuer-discovery`: checks a mounted token against what its issuer publishes about itself
//! (OpenID Connect Discovery 1.0, RFC 7517). Only the cluster's own issuer is asked: pods have no way to any other.

use std::fmt::Display;
use std::process::ExitCode;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde_json::Value;

use super::Mode;
use crate::flags::{Flag, Flags};
use crate::{client, go, tls};

/// Where a pod finds its own token and the cluster's authority.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Time for each question.
const LIMIT: Duration = Duration::from_secs(30);

pub(super) const MODE: Mode = Mode {
    name: "test-service-account-issuer-discovery",
    about: "Checks a mounted token against its issuer's OIDC discovery",
    flags: &[Flag::text("token-path", ""), Flag::text("audience", "")],
    words: Some(0),
    run: |flags| match super::block_on(check(&flags)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => go::fatal(reason),
    },
};

/// A token in its parts: header, claims, what was signed, and the signature.
struct Token<'a> {
    header: Value,
    claims: Value,
    signed: &'a str,
    signature: Vec<u8>,
}

async fn check(flags: &Flags) -> Result<(), String> {
    let raw = read(flags.text("token-path"))?;
    go::log("OK: Got token");
    go::log("validating with in-cluster discovery");
    let token = Token::parse(&raw)?;
    let issuer = token.claims["iss"].as_str().unwrap_or_default();
    go::log(format!("OK: got issuer {issuer}"));
    let (trust, bearer) = (read(&format!("{ACCOUNT}/ca.crt"))?, read(&format!("{ACCOUNT}/token"))?);
    let ask = async |url: &str| -> Result<Value, String> {
        let tls = tls::connector(&trust)?;
        let got = client::get_with_token(url, &tls, bearer.trim(), LIMIT).await?;
        if !got.status.is_success() {
            return Err(format!("{}: {}", got.status, String::from_utf8_lossy(&got.body).trim()));
        }
        serde_json::from_slice(&got.body)
            .map_err(|error| format!("oidc: failed to decode provider discovery object: {error}"))
    };
    let found = ask(&format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))).await?;
    let named = found["issuer"].as_str().unwrap_or_default();
    if named != issuer {
        let (issuer, named) = (go::quote(issuer), go::quote(named));
        return Err(format!(
            "oidc: issuer did not match the issuer returned by provider, expected {issuer} got {named}"
        ));
    }
    go::log(format!("OK: Constructed OIDC provider for issuer {issuer}"));
    let keys = ask(found["jwks_uri"].as_str().unwrap_or_default()).await?;
    token.validate(flags.text("audience"), &keys, Timestamp::now())?;
    go::log("OK: Validated signature on JWT");
    go::log("OK: Got valid claims from token!");
    go::log(format!("Full, validated claims: \n{:#}", token.claims));
    Ok(())
}

fn read(path: &str) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("open {path}: {}", go::errno(&error)))
}

fn malformed(why: impl Display) -> String {
    format!("oidc: malformed jwt: {why}")
}

fn decoded(text: &str) -> Result<Vec<u8>, String> {
    URL_SAFE_NO_PAD.decode(text).map_err(malformed)
}

impl Token<'_> {
    fn parse(raw: &str) -> Result<Token<'_>, String> {
        let raw = raw.trim();
        let parts: Vec<&str> = raw.split('.').collect();
        let [header, claims, signature] = parts[..] else {
            return Err(malformed(format!("expected 3 parts got {}", parts.len())));
        };
        let json = |part: &str| serde_json::from_slice(&decoded(part)?).map_err(malformed);
        let signed = raw.rsplit_once('.').map_or(raw, |(signed, _)| signed);
        Ok(Token { header: json(header)?, claims: json(claims)?, signed, signature: decoded(signature)? })
    }

    /// Audience, time and signature.
    fn validate(&self, audience: &str, keys: &Value, now: Timestamp) -> Result<(), String> {
        let all = match &self.claims["aud"] {
            Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
            one => one.as_str().into_iter().collect::<Vec<_>>(),
        };
        if !all.contains(&audience) {
            return Err(format!("oidc: expected audience {} got [{}]", go::quote(audience), all.join(" ")));
        }
        if self.claims["exp"].as_i64().is_none_or(|end| end <= now.as_second()) {
            return Err("oidc: token is expired".to_owned());
        }
        let kid = &self.header["kid"];
        let fits = |key: &&Value| kid.is_null() || key["kid"] == *kid;
        let mut keys = keys["keys"].as_array().into_iter().flatten().filter(fits);
        if keys.any(|key| self.is_signed_by(key).is_some()) {
            return Ok(());
        }
        Err("failed to verify signature: failed to verify id token signature".to_owned())
    }

    /// `Some` when the key made the signature.
    fn is_signed_by(&self, key: &Value) -> Option<()> {
        let number = |field: &str| decoded(key[field].as_str()?).ok();
        let message = self.signed.as_bytes();
        let curve: &dyn signature::VerificationAlgorithm = match self.header["alg"].as_str()? {
            "RS256" => {
                let key = RsaPublicKeyComponents { n: number("n")?, e: number("e")? };
                return key.verify(&signature::RSA_PKCS1_2048_8192_SHA256, message, &self.signature).ok();
            }
            "ES256" => &signature::ECDSA_P256_SHA256_FIXED,
            "ES384" => &signature::ECDSA_P384_SHA384_FIXED,
            _ => return None,
        };
        let point = [vec![4], number("x")?, number("y")?].concat();
        UnparsedPublicKey::new(curve, point).verify(message, &self.signature).ok()
    }
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
    use serde_json::json;

    use super::*;

    /// A token with these claims, and the keys of its issuer.
    fn made(claims: &Value) -> (String, Value) {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let header = json!({"alg": "ES256", "kid": "k"});
        let signed = format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
        let signature = pair.sign(&random, signed.as_bytes()).unwrap();
        let point = pair.public_key().as_ref();
        let key =
            json!({"kid": "k", "kty": "EC", "crv": "P-256", "x": encode(&point[1..33]), "y": encode(&point[33..])});
        (format!("{signed}.{}", encode(signature.as_ref())), json!({"keys": [key]}))
    }

    #[test]
    fn a_token_is_judged_by_audience_time_and_signature() {
        let now = Timestamp::from_second(1000).unwrap();
        let (text, keys) = made(&json!({"iss": "i", "aud": ["us"], "exp": 1001}));
        let token = Token::parse(&text).unwrap();
        assert_eq!(token.validate("us", &keys, now), Ok(()));
        assert!(
            token.validate("them", &keys, now).unwrap_err().starts_with("oidc: expected audience \"them\" got [us]")
        );
        let late = Timestamp::from_second(1001).unwrap();
        assert_eq!(token.validate("us", &keys, late).unwrap_err(), "oidc: token is expired");
        let (_, others) = made(&json!({}));
        let refused = token.validate("us", &others, now).unwrap_err();
        assert!(refused.starts_with("failed to verify signature"), "{refused}");
        assert!(Token::parse("a.b").is_err_and(|why| why == "oidc: malformed jwt: expected 3 parts got 2"));
    }
}
