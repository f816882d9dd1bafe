//! The API server alone, for trying clients by hand: `cargo run -p minisvc-apiserver --example reception -- FOLDER PORT`
//! serves a store in FOLDER on 127.0.0.1:PORT and writes FOLDER/kubeconfig. No controller runs, so the service account
//! `default/default` is made here. Not part of the product.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;

use kube::Api;
use kube::api::PostParams;
use minisvc_apiserver::pki::{self, Pki, ServingNames};
use minisvc_apiserver::{ApiServer, Config};
use minisvc_store::{Options, SledStore};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().unwrap_or_else(|| ".".into()));
    let port: u16 = arguments.next().unwrap_or_else(|| "6443".into()).parse()?;
    let names = ServingNames::standard([172, 30, 0, 2].into(), [10, 96, 0, 1].into(), "cluster.local", &[]);
    let pki = Arc::new(Pki::load_or_create(&folder.join("pki"), &names)?);
    let store = SledStore::open(&folder.join("store"), Options::default())?;
    let server = ApiServer::new(Config::new(pki.clone()), Arc::new(store));
    server.bootstrap().await?;
    let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> =
        Api::namespaced(server.client("controllers", ["system:masters"]), "default");
    let account = serde_json::from_value(serde_json::json!({"metadata": {"name": "default"}}))?;
    let _ = accounts.create(&PostParams::default(), &account).await;
    let admin = pki.client("admin", "kubernetes-admin", "system:masters")?;
    let url = format!("https://127.0.0.1:{port}");
    std::fs::write(folder.join("kubeconfig"), pki::kubeconfig("minisvc", &url, pki.ca_pem(), &admin)?)?;
    println!("serving {url}, kubeconfig in {}", folder.display());
    server.serve_tls(TcpListener::bind(("127.0.0.1", port))?).await?;
    Ok(())
}
