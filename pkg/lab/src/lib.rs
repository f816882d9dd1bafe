//! The foreman: the lab's settings and places, its processes, and what `up`, `down`, `reset`, `status` and `doctor` do
//! with them. Must hold no Kubernetes semantics and make no system call by itself: the kernel room does.

pub mod kubeconfig;
pub mod places;
pub mod processes;
pub mod settings;
