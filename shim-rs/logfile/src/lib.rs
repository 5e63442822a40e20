//! Container log files: Docker's json-file, CRI and local formats, rotation and reading.
