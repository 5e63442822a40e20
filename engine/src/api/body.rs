//! JSON bodies: bounded, typed as docker demands, field names in any case.

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use http::{HeaderMap, header};
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// The most a JSON body may have, in bytes.
const LIMIT: usize = 8 << 20;
/// The most that is read beyond, only to be thrown away, in bytes.
const PATIENCE: usize = 256 << 20;

/// Field names of the API's requests, as they are written.
const FIELDS: &[&str] = &[
    "Hostname",
    "Domainname",
    "User",
    "AttachStdin",
    "AttachStdout",
    "AttachStderr",
    "ExposedPorts",
    "Tty",
    "OpenStdin",
    "StdinOnce",
    "Env",
    "Cmd",
    "Healthcheck",
    "ArgsEscaped",
    "Image",
    "Volumes",
    "WorkingDir",
    "Entrypoint",
    "NetworkDisabled",
    "MacAddress",
    "OnBuild",
    "Labels",
    "StopSignal",
    "StopTimeout",
    "Shell",
    "HostConfig",
    "NetworkingConfig",
    "EndpointsConfig",
    "CpuShares",
    "Memory",
    "CgroupParent",
    "BlkioWeight",
    "BlkioWeightDevice",
    "BlkioDeviceReadBps",
    "BlkioDeviceWriteBps",
    "BlkioDeviceReadIOps",
    "BlkioDeviceWriteIOps",
    "CpuPeriod",
    "CpuQuota",
    "CpuRealtimePeriod",
    "CpuRealtimeRuntime",
    "CpusetCpus",
    "CpusetMems",
    "Devices",
    "DeviceCgroupRules",
    "DeviceRequests",
    "KernelMemoryTCP",
    "MemoryReservation",
    "MemorySwap",
    "MemorySwappiness",
    "NanoCpus",
    "OomKillDisable",
    "Init",
    "PidsLimit",
    "Ulimits",
    "Binds",
    "ContainerIDFile",
    "LogConfig",
    "NetworkMode",
    "PortBindings",
    "RestartPolicy",
    "AutoRemove",
    "VolumeDriver",
    "VolumesFrom",
    "Mounts",
    "ConsoleSize",
    "Annotations",
    "CapAdd",
    "CapDrop",
    "CgroupnsMode",
    "Dns",
    "DnsOptions",
    "DnsSearch",
    "ExtraHosts",
    "GroupAdd",
    "IpcMode",
    "Cgroup",
    "Links",
    "OomScoreAdj",
    "PidMode",
    "Privileged",
    "PublishAllPorts",
    "ReadonlyRootfs",
    "SecurityOpt",
    "StorageOpt",
    "Tmpfs",
    "UTSMode",
    "UsernsMode",
    "ShmSize",
    "Sysctls",
    "Runtime",
    "Isolation",
    "MaskedPaths",
    "ReadonlyPaths",
    "Name",
    "MaximumRetryCount",
    "Type",
    "Config",
    "Target",
    "Source",
    "ReadOnly",
    "Consistency",
    "BindOptions",
    "VolumeOptions",
    "TmpfsOptions",
    "Propagation",
    "NonRecursive",
    "CreateMountpoint",
    "NoCopy",
    "DriverConfig",
    "Options",
    "SizeBytes",
    "Mode",
    "PathOnHost",
    "PathInContainer",
    "CgroupPermissions",
    "Soft",
    "Hard",
    "Detach",
    "DetachKeys",
    "HostIp",
    "HostPort",
    "Test",
    "Interval",
    "Timeout",
    "StartPeriod",
    "StartInterval",
    "Retries",
    "IPAMConfig",
    "IPv4Address",
    "IPv6Address",
    "Aliases",
    "DriverOpts",
    "GwPriority",
];
/// Fields whose keys are the user's own.
const MAPS: &[&str] = &[
    "ExposedPorts",
    "Volumes",
    "Labels",
    "PortBindings",
    "Tmpfs",
    "Sysctls",
    "StorageOpt",
    "Annotations",
    "DriverOpts",
    "EndpointsConfig",
    "Config",
    "Options",
];

/// Reads the whole body as JSON; an absent one is `{}` where `optional`.
///
/// # Errors
/// 400: another content type, too large, broken, or more than one document.
pub(crate) async fn read(request: Request, optional: bool) -> Result<Value> {
    let (parts, body) = request.into_parts();
    let bytes = collect(body).await?;
    if bytes.is_empty() && optional {
        return Ok(Value::Object(Map::new()));
    }
    check_type(&parts.headers)?;
    if bytes.is_empty() {
        return Err(Error::invalid("invalid JSON: got EOF while reading request body"));
    }
    let mut documents = serde_json::Deserializer::from_slice(&bytes).into_iter::<Value>();
    let value = match documents.next() {
        Some(Ok(value)) => value,
        Some(Err(error)) if error.is_eof() => {
            return Err(Error::invalid("invalid JSON: got EOF while reading request body"));
        }
        Some(Err(error)) => return Err(Error::invalid(format!("invalid JSON: {error}"))),
        None => return Err(Error::invalid("invalid JSON: got EOF while reading request body")),
    };
    if documents.next().is_some() {
        return Err(Error::invalid("unexpected content after JSON"));
    }
    Ok(spelled(value))
}

/// A body as the type it stands for; null is absent.
///
/// # Errors
/// 400: a field has another type.
pub(crate) fn typed<T: serde::de::DeserializeOwned>(body: Value) -> Result<T> {
    serde_json::from_value(crate::containers::config::without_nulls(body))
        .map_err(|source| Error::invalid(format!("invalid JSON: {source}")))
}

/// A handler's argument out of a JSON body.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: serde::de::DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self> {
        typed(read(request, false).await?).map(Self)
    }
}

/// The whole body.
///
/// # Errors
/// It is too large or the client went away.
pub(crate) async fn collect(body: Body) -> Result<Bytes> {
    let mut bytes = BytesMut::new();
    let mut thrown_away = 0;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk =
            chunk.map_err(|error| Error::invalid(format!("reading the request body: {}", why(&error))))?;
        if thrown_away == 0 && bytes.len() + chunk.len() <= LIMIT {
            bytes.extend_from_slice(&chunk);
            continue;
        }
        // A client sees no answer before it has sent all.
        thrown_away += chunk.len();
        if thrown_away > PATIENCE {
            break;
        }
    }
    if thrown_away > 0 {
        return Err(Error::invalid("http: request body too large"));
    }
    Ok(bytes.freeze())
}

/// The deepest cause, which says most.
fn why(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

fn check_type(headers: &HeaderMap) -> Result<()> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let bare = given.split(';').next().unwrap_or_default().trim();
    if bare.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Error::invalid(format!("unsupported Content-Type header ({given}): must be 'application/json'")))
}

/// Gives known fields their proper case, outside of the user's own maps.
fn spelled(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(key, value)| {
                let known = FIELDS.iter().find(|field| field.eq_ignore_ascii_case(&key));
                let key = known.map_or(key, |field| (*field).to_owned());
                let value = match value {
                    Value::Object(map) if MAPS.contains(&key.as_str()) => {
                        Value::Object(map.into_iter().map(|(own, value)| (own, spelled(value))).collect())
                    }
                    other => spelled(other),
                };
                (key, value)
            })
            .collect(),
        Value::Array(items) => items.into_iter().map(spelled).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use http::Request as HttpRequest;
    use serde_json::json;

    use super::*;

    async fn post(kind: &str, text: &str) -> Result<Value> {
        let request = HttpRequest::builder()
            .header(header::CONTENT_TYPE, kind)
            .body(Body::from(text.to_owned()))
            .expect("a request");
        read(request, false).await
    }

    #[tokio::test]
    async fn names_match_in_any_case_but_the_users_own_keys_stay() {
        let value = post(
            "application/json; charset=utf-8",
            r#"{"image":"x","HOSTCONFIG":{"shmsize":1},"labels":{"image":"l"}}"#,
        )
        .await
        .expect("good");
        assert_eq!(
            value,
            json!({ "Image": "x", "HostConfig": { "ShmSize": 1 }, "Labels": { "image": "l" } })
        );
    }

    #[tokio::test]
    async fn broken_bodies_are_refused_in_dockers_words() {
        for (kind, text, words) in [
            ("text/plain", "{}", "unsupported Content-Type header (text/plain): must be 'application/json'"),
            ("application/json", "", "invalid JSON: got EOF while reading request body"),
            ("application/json", "{\"a\":", "invalid JSON: got EOF while reading request body"),
            ("application/json", "{} {}", "unexpected content after JSON"),
        ] {
            assert_eq!(post(kind, text).await.expect_err(words).to_string(), words);
        }
        assert!(
            post("application/json", "nonsense")
                .await
                .expect_err("broken")
                .to_string()
                .starts_with("invalid JSON: ")
        );
    }
}
