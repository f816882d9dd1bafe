//! Hands: sandboxes, containers, images, probes, logs. One driver task per pod. Knows no store.
