//! Endpoints and EndpointSlices, in step: from Services and Pods, and from hand-made Endpoints into mirrored slices.
//! The planners below judge; this loop writes as soon as a pod changes, the larger the service the more changes at once.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use parking_lot::Mutex;

use crate::labels::{Labels, map_matches};
use crate::mirror::{Key, label_entry};
use crate::queue::{Queue, drive};
use crate::world::{World, is_conflict, is_not_found, or_gone};

mod backends;
mod explain;
mod follow;
mod hints;
mod mirroring;
mod slices;
mod subsets;
mod triggers;

/// Label with the service's name on slices.
pub(crate) const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Label that names the controller of a slice.
pub(crate) const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// Our value of it for slices made from pods.
pub(crate) const CONTROLLER: &str = "endpointslice-controller.k8s.io";
/// Our value of it for slices made from Endpoints.
pub(crate) const MIRRORING: &str = "endpointslicemirroring-controller.k8s.io";
/// Label on what belongs to a headless service.
const HEADLESS: &str = "service.kubernetes.io/headless";
/// Label on Endpoints that we made.
const ENDPOINTS_MANAGED_BY: (&str, &str) = ("endpoints.kubernetes.io/managed-by", "endpoint-controller");
const COMPONENT: &str = "endpoint-controller";
const MIRROR: &str = "endpoint-slice-mirroring-controller";
const SLICER: &str = "endpoint-slice-controller";

struct Controller {
    world: Arc<World>,
    /// Services whose deletion has yet to be followed.
    gone: Arc<Mutex<HashSet<Key>>>,
    /// When slices and Endpoints of a service were last written.
    written: Mutex<HashMap<Key, (Instant, Instant)>>,
    triggers: Mutex<triggers::Triggers>,
    /// What was told of hints.
    hinted: Mutex<hints::Told>,
    /// Warnings that stand, since when, and whether somebody was told.
    warned: Mutex<HashMap<Key, (String, Instant, bool)>>,
}

/// Runs the controller for ever.
pub(crate) async fn run(world: Arc<World>) {
    let queue: Arc<Queue<Key>> = Queue::new();
    let controller = Arc::new(Controller {
        world: world.clone(),
        gone: Arc::default(),
        written: Mutex::default(),
        triggers: Mutex::default(),
        hinted: Mutex::default(),
        warned: Mutex::default(),
    });
    follow::follow(&world, &queue, &controller.gone);
    drive("endpoints", queue, 16, |key| {
        let controller = controller.clone();
        async move { controller.sync(key).await }
    })
    .await;
}

/// The selector of a service that gets endpoints from pods.
fn selector(service: &Service) -> Option<&Labels> {
    let spec = service.spec.as_ref()?;
    let external = spec.type_.as_deref() == Some("ExternalName");
    spec.selector.as_ref().filter(|s| !s.is_empty() && !external)
}

fn managed_by(slice: &EndpointSlice, who: &str) -> bool {
    slice.metadata.labels.as_ref().and_then(|l| l.get(MANAGED_BY)).is_some_and(|m| m == who)
}

/// The least time between two writes of a service's slices, by its size.
fn slice_pause(backends: usize) -> Duration {
    Duration::from_millis(match backends {
        0..=20 => 0,
        21..=200 => 4,
        _ => 10,
    })
}

/// The least time between two writes of a service's Endpoints: one object with all addresses, dear when large.
fn endpoints_pause(backends: usize) -> Duration {
    if backends <= 50 { Duration::ZERO } else { Duration::from_micros(500 * backends as u64) }
}

impl Controller {
    async fn sync(&self, key: Key) -> Result<Option<Duration>, kube::Error> {
        if key.0 == "default" && key.1 == "kubernetes" {
            return Ok(None);
        }
        let world = &self.world;
        let slices = world.slices.indexed(&label_entry(&key.0, SERVICE_NAME, &key.1));
        let part = |who| slices.iter().filter(|s| managed_by(s, who)).cloned().collect::<Vec<_>>();
        let (own, mirrored) = (part(CONTROLLER), part(MIRRORING));
        let endpoints = world.endpoints.get_key(&key);
        let Some(service) = world.services.get_key(&key) else {
            self.written.lock().remove(&key);
            self.triggers.lock().forget(&key);
            self.hinted.lock().forget(&key);
            self.warned.lock().remove(&key);
            let gone = self.gone.lock().remove(&key);
            if let Some(endpoints) = endpoints.filter(|e| gone || subsets::ours(e)) {
                world.delete(&*endpoints, None).await?;
            }
            self.delete(own.into_iter().chain(mirrored)).await?;
            return Ok(None);
        };
        self.gone.lock().remove(&key);
        if let Some(selector) = selector(&service) {
            self.delete(mirrored.into_iter()).await?;
            return self.follow_pods(&key, &service, selector, own).await;
        }
        self.delete(own.into_iter()).await?;
        self.warned.lock().remove(&key);
        let wanted = match &endpoints {
            Some(endpoints) if service.spec.as_ref().is_none_or(|s| s.selector.is_none()) => {
                mirroring::wanted(endpoints)
            }
            _ => None,
        };
        let external = service.spec.as_ref().and_then(|s| s.type_.as_deref()) == Some("ExternalName");
        match wanted {
            Some((wanted, skipped)) => {
                let plan = slices::reconcile(&wanted, &mirrored);
                if let (Some(endpoints), Some(message)) = (&endpoints, mirroring::complaint(skipped))
                    && !plan.is_empty()
                {
                    world.recorder.warning(&**endpoints, MIRROR, "TooManyAddressesToMirror", message);
                }
                self.write(plan).await?;
            }
            None => {
                if let Some(endpoints) = endpoints.filter(|e| external && subsets::ours(e)) {
                    world.delete(&*endpoints, None).await?;
                }
                self.delete(mirrored.into_iter()).await?;
            }
        }
        Ok(None)
    }

    async fn follow_pods(
        &self,
        key: &Key,
        service: &Service,
        selector: &Labels,
        own: Vec<Arc<EndpointSlice>>,
    ) -> Result<Option<Duration>, kube::Error> {
        let world = &self.world;
        let pods = self.matching(&key.0, selector);
        let now = Instant::now();
        let (slices_at, endpoints_at) = match self.written.lock().get(key) {
            Some((slices, endpoints)) => (*slices + slice_pause(pods.len()), *endpoints + endpoints_pause(pods.len())),
            None => (now, now),
        };
        if slices_at > now {
            return Ok(Some(slices_at - now));
        }
        let zone = |node: &str| {
            let node = world.nodes.get("", node)?;
            node.metadata.labels.as_ref()?.get(hints::ZONE).cloned()
        };
        let backends = backends::backends(service, &pods, zone);
        let mut wanted = slices::wanted(service, &backends);
        self.hint(key, service, &mut wanted);
        let mut plan = slices::reconcile(&wanted, &own);
        let mut again = None;
        let old = world.endpoints.get_key(key);
        let mut endpoints = subsets::plan(service, &backends, old.as_deref());
        let endpoints_due = endpoints_at <= now;
        {
            let mut triggers = self.triggers.lock();
            triggers.see(key, service, &pods);
            plan.stamp(triggers.slices(key));
            if endpoints.is_none() || endpoints_due {
                let trigger = triggers.endpoints(key);
                endpoints.iter_mut().for_each(|e| triggers::stamp(&mut e.metadata, trigger));
            }
        }
        if endpoints.is_some() && !endpoints_due {
            again = Some(endpoints_at - now);
        }
        if plan.is_empty() && (endpoints.is_none() || !endpoints_due) {
            return Ok(least(again, self.explain(key, service, selector, &pods)));
        }
        let (slices_written, endpoints_written) = (!plan.is_empty(), endpoints.is_some() && endpoints_due);
        let endpoints_work = async {
            match endpoints.filter(|_| endpoints_due) {
                Some(wanted) if old.is_some() => world.replace(&wanted).await.map(drop),
                Some(wanted) => match world.create(&wanted).await {
                    Err(error) if !world.namespace_lives(&key.0) => {
                        tracing::debug!(%error, "no Endpoints in a namespace that goes away");
                        Ok(())
                    }
                    outcome => outcome.map(drop),
                },
                None => Ok(()),
            }
        };
        let (one, two) = futures::join!(self.write(plan), endpoints_work);
        {
            let mut written = self.written.lock();
            let times = written.entry(key.clone()).or_insert((now, now));
            let after = Instant::now();
            if slices_written {
                times.0 = after;
            }
            if endpoints_written {
                times.1 = after;
            }
        }
        one?;
        match two {
            // Removed under our hands, or made by another: the watch will tell.
            Err(error) if is_not_found(&error) => return Ok(Some(Duration::from_millis(10))),
            outcome => outcome?,
        }
        Ok(least(again, self.explain(key, service, selector, &pods)))
    }

    /// Writes hints on the endpoints that are wanted, and tells when shares by zone begin, end or cannot be had.
    fn hint(&self, key: &Key, service: &Service, wanted: &mut slices::Wanted) {
        let wish = hints::wish(service);
        let nodes = || self.world.nodes.all();
        let shares = || hints::shares(nodes().iter().map(AsRef::as_ref));
        let outcomes = hints::give(wish, &mut wanted.groups, &wanted.placeholders, shares);
        let mut told = self.hinted.lock();
        for family in &wanted.placeholders {
            let outcome = outcomes.iter().find(|(of, _)| of == family).map(|(_, outcome)| outcome.clone());
            match told.note(key, family, outcome) {
                Some((true, reason, message)) => self.world.recorder.warning(service, SLICER, reason, message),
                Some((false, reason, message)) => self.world.recorder.normal(service, SLICER, reason, message),
                None => {}
            }
        }
    }

    /// Pods that a selector matches, found through its rarest label.
    fn matching(&self, namespace: &str, selector: &Labels) -> Vec<Arc<Pod>> {
        let entries = selector.iter().map(|(k, v)| label_entry(namespace, k, v));
        let rarest = entries.min_by_key(|e| self.world.pods.indexed_len(e)).unwrap_or_default();
        let pods = self.world.pods.indexed(&rarest).into_iter();
        pods.filter(|p| map_matches(selector, p.metadata.labels.as_ref())).collect()
    }

    /// Says what is wrong with a service once it has been so for a while; gives the time to look again.
    fn explain(&self, key: &Key, service: &Service, selector: &Labels, pods: &[Arc<Pod>]) -> Option<Duration> {
        let others = || self.world.pods.list(&key.0);
        let Some(warning) = explain::warning(service, selector, pods, others) else {
            self.warned.lock().remove(key);
            return None;
        };
        let mut warned = self.warned.lock();
        let fresh = (warning.message.clone(), Instant::now(), false);
        let entry = warned.entry(key.clone()).or_insert_with(|| fresh.clone());
        if entry.0 != warning.message {
            *entry = fresh;
        }
        let (age, patience) = (entry.1.elapsed(), warning.patience);
        if age < patience {
            return Some(patience - age + Duration::from_millis(1));
        }
        if !entry.2 {
            entry.2 = true;
            self.world.recorder.warning(service, COMPONENT, warning.reason, warning.message);
        }
        None
    }

    async fn write(&self, plan: slices::Plan) -> Result<(), kube::Error> {
        let world = &self.world;
        let creates = join_all(plan.create.iter().map(|s| world.create(s)));
        let updates = join_all(plan.update.iter().map(|s| world.replace(s)));
        let (created, updated) = futures::join!(creates, updates);
        for outcome in updated {
            outcome?;
        }
        for (outcome, slice) in created.into_iter().zip(&plan.create) {
            if let Err(error) = outcome {
                let namespace = slice.metadata.namespace.as_deref().unwrap_or_default();
                if world.namespace_lives(namespace) || is_conflict(&error) {
                    return Err(error);
                }
            }
        }
        self.delete(plan.delete.into_iter()).await
    }

    async fn delete(&self, slices: impl Iterator<Item = Arc<EndpointSlice>>) -> Result<(), kube::Error> {
        for slice in slices {
            or_gone(self.world.delete(&*slice, None).await)?;
        }
        Ok(())
    }
}

fn least(one: Option<Duration>, two: Option<Duration>) -> Option<Duration> {
    one.into_iter().chain(two).min()
}
