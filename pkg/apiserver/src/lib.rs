//! Reception: REST over axum, watch, discovery, OpenAPI, authentication and authorization, dashboard files. Knows no kernel and no sled.
