//! The door: namespaces, links, routes, nftables, conntrack, spawn. Knows no Kubernetes; the only unsafe.
