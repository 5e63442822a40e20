//! Cgroup v1, hybrid and v2: where a container's processes live and what they may use.
