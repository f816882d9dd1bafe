//! Custom objects between versions by a webhook. Handlers hold such objects in the version that the request asks for: they
//! are converted when they are read and before they are written, like upstream's storage layer does it; what is stored is in
//! the storage version of its day. Kinds without a webhook pass through untouched.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use minisvc_api::custom::{self, Conversion};
use minisvc_api::registry::Row;
use minisvc_api::status::Status;
use minisvc_store::{Event, StoreError, Stored, Write};
use serde_json::Value;

use crate::call::Call;
use crate::server::Inner;
use crate::webhooks::client;

/// Stored objects as `view` shows them.
pub(crate) async fn read(
    server: &Inner,
    view: &'static Row,
    items: Vec<Arc<Stored>>,
) -> Result<Vec<Arc<Stored>>, Status> {
    if view.conversion().is_none() || items.is_empty() {
        return Ok(items);
    }
    let values: Vec<&Value> = items.iter().map(|item| &*item.value).collect();
    let shown = convert(server, &values, view).await?;
    Ok(items.iter().zip(shown).map(|(item, value)| Arc::new(item.with_value(Arc::new(value)))).collect())
}

/// One stored object as `view` shows it.
pub(crate) async fn read_one(server: &Inner, view: &'static Row, item: Arc<Stored>) -> Result<Arc<Stored>, Status> {
    if view.conversion().is_none() {
        return Ok(item);
    }
    let mut all = read(server, view, vec![item.clone()]).await?;
    Ok(all.pop().unwrap_or(item))
}

/// Events with their objects as `view` shows them.
pub(crate) async fn events(
    server: &Inner,
    view: &'static Row,
    events: Vec<Arc<Event>>,
) -> Result<Vec<Arc<Event>>, Status> {
    if view.conversion().is_none() {
        return Ok(events);
    }
    let objects: Vec<Arc<Stored>> =
        events.iter().flat_map(|event| std::iter::once(&event.object).chain(&event.previous)).cloned().collect();
    let mut shown = read(server, view, objects).await?.into_iter();
    let mut next = |had: &Arc<Stored>| shown.next().unwrap_or_else(|| had.clone());
    let converted = events.iter().map(|event| {
        let object = next(&event.object);
        let previous = event.previous.as_ref().map(&mut next);
        Arc::new(Event { kind: event.kind, revision: event.revision, object, previous })
    });
    Ok(converted.collect())
}

/// Objects of whatever versions in the version of `to`, all in one call, without what its schema does not name.
pub(crate) async fn convert(server: &Inner, objects: &[&Value], to: &'static Row) -> Result<Vec<Value>, Status> {
    let Some(conversion) = to.conversion() else { return Ok(objects.iter().map(|object| to.shown(object)).collect()) };
    let wanted = to.api_version();
    let catalog = server.catalog();
    // Objects are filled in and pruned by the schema of the version that they are in.
    let settled: Vec<Value> = objects
        .iter()
        .map(|object| {
            let version = object["apiVersion"].as_str().unwrap_or_default();
            let known = catalog.rows().iter().copied().chain([to.stored()]);
            let own = known.into_iter().find(|row| row.api_version() == version && row.resource() == to.resource());
            own.map_or_else(|| (*object).clone(), |row| row.settled(object))
        })
        .collect();
    let others: Vec<&Value> = settled.iter().filter(|object| object["apiVersion"] != *wanted).collect();
    if others.is_empty() {
        return Ok(settled);
    }
    let failure = |why: String| Status::new(500, "", why);
    let mut converted = ask(server, conversion, &others, &wanted).await.map_err(failure)?.into_iter();
    let all = settled.iter().map(|object| {
        if object["apiVersion"] == *wanted {
            return object.clone();
        }
        converted.next().map_or_else(|| object.clone(), |object| to.trimmed(object))
    });
    Ok(all.collect())
}

async fn ask(server: &Inner, conversion: &Conversion, objects: &[&Value], wanted: &str) -> Result<Vec<Value>, String> {
    let told = |why: String| custom::conversion_failed(objects[0], &why);
    let remote = conversion.remote.as_ref().map_err(|why| told(why.clone()))?;
    let uid = uuid::Uuid::new_v4().to_string();
    let review = conversion.review(&uid, objects, wanted)?;
    let time = Duration::from_secs(custom::CONVERSION_SECONDS);
    let answer = client::post(server, remote, &review, time).await.map_err(told)?;
    conversion.converted(&answer, &uid, objects, wanted)
}

impl Call {
    /// An object of this kind by name, as the path's version shows it, or 404.
    pub(crate) async fn read(&self, name: &str) -> Result<Arc<Stored>, Status> {
        read_one(&self.server, self.view, self.find(name)?).await
    }

    /// The row in whose form handlers hold objects.
    pub(crate) fn held(&self) -> &'static Row {
        if self.view.conversion().is_some() { self.view } else { self.row }
    }

    /// Makes a change durable, in the storage version, and answers with the object as handlers hold it.
    pub(crate) async fn commit(&self, write: Write, dry_run: bool) -> Result<Result<Arc<Stored>, StoreError>, Status> {
        if self.view.conversion().is_none() {
            return Ok(self.server.commit(write, dry_run).await);
        }
        let gone = matches!(write, Write::Delete { .. });
        let write = match write {
            Write::Create { key, value } => Write::Create { key, value: self.kept(&value).await? },
            Write::Update { key, expected, value } => Write::Update { key, expected, value: self.kept(&value).await? },
            other => other,
        };
        match self.server.commit(write, dry_run).await {
            Ok(stored) if !gone => Ok(Ok(read_one(&self.server, self.view, stored).await?)),
            outcome => Ok(outcome),
        }
    }

    async fn kept(&self, value: &Value) -> Result<Value, Status> {
        let mut all = convert(&self.server, &[value], self.view.stored()).await?;
        Ok(all.pop().unwrap_or_default())
    }

    /// Carries out what may need objects in versions that nobody has converted yet: again, with those converted, until it
    /// needs no more.
    pub(crate) async fn converting<T>(&self, mut work: impl FnMut() -> T) -> Result<T, Status> {
        loop {
            let outcome = work();
            if !self.conversions.fetch(&self.server).await? {
                return Ok(outcome);
            }
        }
    }
}

/// Conversions that one request has needed, for code that cannot wait: it asks here, gets the object under the other
/// version's name for want of better, and is run once more when the webhook has answered.
#[derive(Default)]
pub(crate) struct Conversions(Mutex<Inside>);

#[derive(Default)]
struct Inside {
    done: Vec<(Value, &'static Row, Value)>,
    missing: Vec<(Value, &'static Row)>,
}

impl Conversions {
    /// The object in the version of `to`, as far as it is known.
    pub(crate) fn get(&self, object: &Value, to: &'static Row) -> Value {
        let version = to.api_version();
        if object["apiVersion"] == *version {
            return object.clone();
        }
        let mut inside = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |row: &&'static Row| std::ptr::eq(*row, to);
        if let Some((_, _, found)) = inside.done.iter().find(|(from, row, _)| same(row) && from == object) {
            return found.clone();
        }
        if !inside.missing.iter().any(|(from, row)| same(row) && from == object) {
            inside.missing.push((object.clone(), to));
        }
        let mut renamed = object.clone();
        renamed["apiVersion"] = version.into();
        renamed
    }

    /// Converts what was missing; answers whether anything was.
    async fn fetch(&self, server: &Inner) -> Result<bool, Status> {
        let missing = std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).missing);
        let any = !missing.is_empty();
        for (object, to) in missing {
            let found = convert(server, &[&object], to).await?.pop().unwrap_or_default();
            self.0.lock().unwrap_or_else(PoisonError::into_inner).done.push((object, to, found));
        }
        Ok(any)
    }
}
