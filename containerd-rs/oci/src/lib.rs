//! OCI names and documents: digests, references, platforms, images, chain ids, default specs.
