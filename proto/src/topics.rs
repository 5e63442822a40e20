//! Topics under which events are published (facts: containerd's `core/runtime/events.go`).

/// A container's init or exec process is about to be made.
pub const TASK_CREATE: &str = "/tasks/create";
/// The init process was started.
pub const TASK_START: &str = "/tasks/start";
/// The kernel killed a process of the container for want of memory.
pub const TASK_OOM: &str = "/tasks/oom";
/// A process ended; for the init process `id` equals the container's id.
pub const TASK_EXIT: &str = "/tasks/exit";
/// The task was deleted.
pub const TASK_DELETE: &str = "/tasks/delete";
/// An exec process was added.
pub const TASK_EXEC_ADDED: &str = "/tasks/exec-added";
/// An exec process was started.
pub const TASK_EXEC_STARTED: &str = "/tasks/exec-started";
/// The task was frozen.
pub const TASK_PAUSED: &str = "/tasks/paused";
/// The task was thawed.
pub const TASK_RESUMED: &str = "/tasks/resumed";
/// The task was checkpointed.
pub const TASK_CHECKPOINTED: &str = "/tasks/checkpointed";
/// A container record was created, changed, removed.
pub const CONTAINER_CREATE: &str = "/containers/create";
/// See [`CONTAINER_CREATE`].
pub const CONTAINER_UPDATE: &str = "/containers/update";
/// See [`CONTAINER_CREATE`].
pub const CONTAINER_DELETE: &str = "/containers/delete";
/// An image record was created, changed, removed.
pub const IMAGE_CREATE: &str = "/images/create";
/// See [`IMAGE_CREATE`].
pub const IMAGE_UPDATE: &str = "/images/update";
/// See [`IMAGE_CREATE`].
pub const IMAGE_DELETE: &str = "/images/delete";
/// A namespace was created, changed, removed.
pub const NAMESPACE_CREATE: &str = "/namespaces/create";
/// See [`NAMESPACE_CREATE`].
pub const NAMESPACE_UPDATE: &str = "/namespaces/update";
/// See [`NAMESPACE_CREATE`].
pub const NAMESPACE_DELETE: &str = "/namespaces/delete";
/// A blob was committed or removed.
pub const CONTENT_CREATE: &str = "/content/create";
/// See [`CONTENT_CREATE`].
pub const CONTENT_DELETE: &str = "/content/delete";
/// A snapshot was prepared (or viewed), committed, removed.
pub const SNAPSHOT_PREPARE: &str = "/snapshot/prepare";
/// See [`SNAPSHOT_PREPARE`].
pub const SNAPSHOT_COMMIT: &str = "/snapshot/commit";
/// See [`SNAPSHOT_PREPARE`].
pub const SNAPSHOT_REMOVE: &str = "/snapshot/remove";
