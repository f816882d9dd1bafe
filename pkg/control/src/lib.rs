//! Judgement: controllers and scheduler as planners over the Kubernetes API. Knows no store and no kernel.
