//! `minisvc cloud [on|off]`: the switch that the cloud controller in the edge watches.

use std::process::ExitCode;

use anyhow::Result;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, Patch, PatchParams};
use minisvc_edge::SWITCH;
use minisvc_lab::access;
use minisvc_lab::places::Places;

use crate::args::{Output, Switch};

pub(super) fn run(places: &Places, state: Option<Switch>, output: Output) -> Result<ExitCode> {
    super::on_one_thread(async {
        let client = access::client(&places.kubeconfig_of("admin")).await?;
        let switches: Api<ConfigMap> = Api::namespaced(client, SWITCH.0);
        let on = match state {
            Some(state) => {
                let on = state == Switch::On;
                set(&switches, on).await?;
                on
            }
            None => {
                let switch = switches.get_opt(SWITCH.1).await?;
                switch
                    .and_then(|map| map.data)
                    .and_then(|data| data.get(SWITCH.2).cloned())
                    .is_none_or(|v| v != "false")
            }
        };
        match output {
            Output::Json => println!("{}", serde_json::json!({ "enabled": on })),
            Output::Text if on => println!("The cloud is on: LoadBalancer services get an address."),
            Output::Text => println!("The cloud is off: new LoadBalancer services stay <pending>."),
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn set(switches: &Api<ConfigMap>, on: bool) -> Result<()> {
    let value = if on { "true" } else { "false" };
    let patch = serde_json::json!({"data": {SWITCH.2: value}});
    match switches.patch(SWITCH.1, &PatchParams::default(), &Patch::Merge(&patch)).await {
        Err(kube::Error::Api(status)) if status.code == 404 => {
            let mut map = ConfigMap::default();
            map.metadata.name = Some(SWITCH.1.to_owned());
            map.data = Some([(SWITCH.2.to_owned(), value.to_owned())].into());
            switches.create(&Default::default(), &map).await?;
        }
        other => {
            other?;
        }
    }
    Ok(())
}
