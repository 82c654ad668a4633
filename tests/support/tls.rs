//! TLS between the tests' own machines.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// A certificate authority of one's own, and a certificate for `localhost` from it.
pub struct Authority {
    _folder: tempfile::TempDir,
    pub ca: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
    der: (Vec<u8>, Vec<u8>),
}

impl Authority {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        // rustls refuses an authority's certificate as a server's.
        params.is_ca = IsCa::ExplicitNoCa;
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &issuer).unwrap();
        let write = |name: &str, text: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        Self {
            ca: write("ca.pem", issuer.pem()),
            certificate: write("leaf.pem", leaf.pem()),
            key: write("leaf.key", key.serialize_pem()),
            der: (leaf.der().to_vec(), key.serialize_der()),
            _folder: folder,
        }
    }

    pub fn server_config(&self) -> rustls::ServerConfig {
        hark::delivery::http::install_crypto();
        let key = rustls::pki_types::PrivateKeyDer::try_from(self.der.1.clone()).unwrap();
        rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![self.der.0.clone().into()], key)
            .unwrap()
    }
}
