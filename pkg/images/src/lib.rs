//! Built-in programs that pods run: color and the others. Knows no Kubernetes client.
