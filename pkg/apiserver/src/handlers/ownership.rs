//! Who writes and what: the bridge from a call to the API room's field ownership. Must not merge or compare anything.

use std::sync::Arc;

use http::header::USER_AGENT;
use jiff::Timestamp;
use minisvc_api::apply::{self, Ignored, Place, Versions, Writer, manager_of_user_agent};
use minisvc_api::meta;
use minisvc_api::registry::{Catalog, Row, Subresource};
use minisvc_api::status::Status;
use serde_json::Value;

use crate::call::Call;
use crate::conversion::Conversions;

/// Whether a new state carries its owners already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owners {
    /// No: they follow from what changes.
    Follow,
    /// Yes: the change brought them up to date itself, as apply does.
    Written,
}

/// The versions in which a stored kind is served.
pub(crate) struct Served {
    row: &'static Row,
    catalog: Arc<Catalog>,
    conversions: Arc<Conversions>,
}

/// The call's manager: the `fieldManager` parameter, else the program's name in the User-Agent.
pub(crate) fn manager(call: &Call) -> String {
    match call.query.get("fieldManager") {
        "" => {
            let agent = call.headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
            manager_of_user_agent(agent)
        }
        given => given.to_owned(),
    }
}

/// Carries out `with` for a write of the call's kind.
pub(crate) fn with_writer<T>(call: &Call, with: impl FnOnce(&Served, &Writer<'_>) -> T) -> T {
    let (manager, api_version) = (manager(call), call.view.api_version());
    let ignored = match call.subresource {
        Some(Subresource::Status) => Ignored::AllButStatus,
        _ if call.row.has(Subresource::Status) => Ignored::Status,
        _ => Ignored::Nothing,
    };
    let writer = Writer {
        manager: &manager,
        api_version: &api_version,
        kind: call.view.kind,
        subresource: &call.info.subresource,
        ignored,
        now: Timestamp::now(),
    };
    with(&Served { row: call.row, catalog: call.server.catalog(), conversions: call.conversions.clone() }, &writer)
}

/// Brings the owners of a new state up to date. Both states are in their stored form.
pub(crate) async fn follow(call: &Call, old: Option<&Value>, new: &mut Value) -> Result<(), Status> {
    if call.view.conversion().is_none() {
        follow_now(call, old, new);
        return Ok(());
    }
    *new = call
        .converting(|| {
            let mut candidate = new.clone();
            follow_now(call, old, &mut candidate);
            candidate
        })
        .await?;
    Ok(())
}

fn follow_now(call: &Call, old: Option<&Value>, new: &mut Value) {
    with_writer(call, |served, writer| {
        let view = call.view;
        if view.shows_as_stored(new) && old.is_none_or(|old| view.shows_as_stored(old)) {
            return apply::track(served, writer, old, new);
        }
        let mut shown = view.shown(new);
        apply::track(served, writer, old.map(|old| view.shown(old)).as_ref(), &mut shown);
        let metadata = meta::metadata_mut(new);
        match shown["metadata"].get("managedFields") {
            Some(fields) => metadata.insert("managedFields".into(), fields.clone()),
            None => metadata.shift_remove("managedFields"),
        };
    });
}

impl Served {
    fn row(&self, api_version: &str) -> Option<&'static Row> {
        let same = |row: &&&'static Row| std::ptr::eq(row.stored(), self.row) && row.api_version() == api_version;
        self.catalog.rows().iter().find(same).copied()
    }
}

impl Versions for Served {
    fn place(&self, api_version: &str) -> Option<Place> {
        self.row(api_version).map(|row| row.place())
    }

    fn convert(&self, object: &Value, from: &str, to: &str) -> Value {
        if let Some(row) = self.row(to).filter(|row| row.conversion().is_some()) {
            return self.conversions.get(object, row);
        }
        let stored = self.row(from).map_or_else(|| object.clone(), |row| row.kept(object));
        self.row(to).map_or_else(|| stored.clone(), |row| row.shown(&stored))
    }
}
