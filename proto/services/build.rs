//! Generates tonic stubs for the gRPC services; the messages come from the `proto` crate.

use std::path::Path;

/// The services spoken over gRPC. Those spoken only over ttrpc (tasks of a shim, event
/// forwarding) need no stubs: their callers frame requests with `proto::ttrpc`.
const SERVICES: &[&str] = &[
    "grpc/health/v1/health.proto",
    "services/containers/v1/containers.proto",
    "services/content/v1/content.proto",
    "services/diff/v1/diff.proto",
    "services/events/v1/events.proto",
    "services/images/v1/images.proto",
    "services/introspection/v1/introspection.proto",
    "services/leases/v1/leases.proto",
    "services/namespaces/v1/namespace.proto",
    "services/sandbox/v1/sandbox.proto",
    "services/snapshots/v1/snapshots.proto",
    "services/streaming/v1/streaming.proto",
    "services/tasks/v1/tasks.proto",
    "services/transfer/v1/transfer.proto",
    "services/version/v1/version.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new("../api");
    println!("cargo:rerun-if-changed=../api");
    let files: Vec<_> = SERVICES.iter().map(|s| root.join(s)).collect();
    let mut descriptors = protox::compile(&files, [root])?;
    // Only the listed files' services are wanted; their imports are messages alone.
    for file in &mut descriptors.file {
        if !SERVICES.contains(&file.name()) {
            file.service.clear();
        }
    }
    tonic_prost_build::configure()
        .extern_path(".containerd", "::proto::containerd")
        .extern_path(".google.rpc", "::proto::google::rpc")
        .extern_path(".grpc", "::proto::grpc")
        .include_file("tree.rs")
        .compile_fds(descriptors)?;
    Ok(())
}
