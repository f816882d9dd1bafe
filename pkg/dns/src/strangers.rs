//! A door for fuzzing: a message as it comes from the network, through the handler. Not for product code.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock, Mutex};

use arc_swap::ArcSwap;
use hickory_proto::op::{Message, MessageType};
use hickory_proto::rr::Record;
use hickory_proto::serialize::binary::BinEncoder;
use hickory_server::net::NetError;
use hickory_server::net::runtime::TokioTime;
use hickory_server::net::xfer::Protocol;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponse;
use serde_json::json;

use crate::corefile::Corefile;
use crate::handler::Handler;
use crate::zone::{Zone, plan_service};

/// Keeps the answer.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

#[async_trait::async_trait]
impl ResponseHandler for Kept {
    async fn send_response<'a>(
        &mut self,
        response: MessageResponse<
            '_,
            'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
        >,
    ) -> Result<ResponseInfo, NetError> {
        let mut bytes = Vec::new();
        let info = response.destructive_emit(&mut BinEncoder::new(&mut bytes))?;
        *self.0.lock().expect("nobody panicked") = bytes;
        Ok(info)
    }
}

static HANDLER: LazyLock<(Handler, tokio::runtime::Runtime)> = LazyLock::new(|| {
    let mut zone = Zone::empty("cluster.local");
    zone.set_namespaces(BTreeSet::from(["default".into()]));
    for (name, spec) in [
        ("web", json!({"clusterIP": "10.96.0.7", "ports": [{"name": "http", "port": 80}]})),
        ("out", json!({"type": "ExternalName", "externalName": "kubernetes.io"})),
    ] {
        let service = serde_json::from_value(json!({"metadata": {}, "spec": spec})).expect("a service");
        zone.set_service(&("default".into(), name.into()), plan_service(&service, &[]));
    }
    zone.set_synced();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    (
        Handler::new(
            Arc::new(ArcSwap::from_pointee(zone)),
            Corefile::cluster("cluster.local", Vec::new()),
            Arc::default(),
        ),
        runtime,
    )
});

/// One message: malformed, or answered by one that has the question's id and can be read where the question can.
///
/// # Panics
/// When it is not.
pub fn message(bytes: &[u8]) {
    let from = ([127, 0, 0, 1], 53).into();
    let Ok(request) = Request::from_bytes(bytes.to_vec(), from, Protocol::Tcp) else { return };
    let (kept, (handler, runtime)) = (Kept::default(), &*HANDLER);
    runtime.block_on(handler.handle_request::<_, TokioTime>(&request, kept.clone()));
    let answer = kept.0.lock().expect("nobody panicked").clone();
    assert!(answer.len() >= 12 && answer[..2] == bytes[..2] && answer[2] & 0x80 != 0, "no answer to it: {answer:?}");
    // The question is echoed as it came, with whatever its names point to: into the header, which an answer changes.
    let points = bytes[12..].iter().any(|byte| *byte >= 0xc0);
    if !points && Message::from_vec(bytes).is_ok() {
        let answer = Message::from_vec(&answer).expect("a message");
        assert_eq!(answer.metadata.message_type, MessageType::Response);
    }
}
