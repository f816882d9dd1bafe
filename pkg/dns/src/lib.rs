//! Directory: services and slices to a zone, served by hickory. Knows no kernel.
