//! What certificates say of themselves. Must not judge whether they are believed.

use jiff::Timestamp;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::pem;

/// When the certificate ends that is the first block of a PEM text; `None` where there is none that can be read.
pub fn end(pem: &[u8]) -> Option<Timestamp> {
    let first = pem::blocks(std::str::from_utf8(pem).ok()?).into_iter().next()?;
    let (_, certificate) = X509Certificate::from_der(&first.content).ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_certificate_counts() {
        let made = |day: u8| {
            let mut params = rcgen::CertificateParams::default();
            params.not_before = rcgen::date_time_ymd(1970, 1, 1);
            params.not_after = rcgen::date_time_ymd(1970, 1, day);
            params.self_signed(&rcgen::KeyPair::generate().expect("a key")).expect("a certificate").pem()
        };
        let chain = made(2) + &made(9);
        assert_eq!(end(chain.as_bytes()), Timestamp::from_second(86_400).ok());
        assert_eq!((end(b""), end(b"-----BEGIN X-----\nAAAA\n-----END X-----\n")), (None, None));
    }
}
