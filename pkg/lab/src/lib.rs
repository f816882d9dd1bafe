//! The foreman: the lab's settings and places, its processes, and what `up`, `down`, `reset`, `status` and `doctor` do
//! with them. Must hold no Kubernetes semantics and make no system call by itself: the kernel room does.

pub mod access;
pub mod down;
pub mod edge_note;
pub mod footprint;
pub mod kubeconfig;
pub mod leftovers;
mod lock;
pub mod places;
mod private;
pub mod processes;
pub mod ready;
pub mod reset;
pub mod settings;
mod start;
pub mod status;
pub mod up;
pub mod wires;
