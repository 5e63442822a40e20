//! A create request: parsed, merged with the image's configuration, defaults filled in, checked.

use std::collections::HashMap;

use bollard_stubs::models::{
    ContainerConfig, EndpointSettings, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig,
    RestartPolicy, RestartPolicyNameEnum,
};
use serde_json::Value;

use crate::error::{Error, Result};

const DEFAULT_SHM_SIZE: i64 = 64 << 20;
const MINIMUM_MEMORY: i64 = 6 << 20;

/// What a client asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CreateRequest {
    /// What runs.
    pub config: ContainerConfig,
    /// How it is run.
    pub host_config: HostConfig,
    /// Networks by name or id.
    pub endpoints: HashMap<String, EndpointSettings>,
}

impl CreateRequest {
    /// Reads the JSON of a create request.
    ///
    /// # Errors
    /// 400: a field has the wrong type, or nothing is asked for.
    pub fn parse(body: Value) -> Result<Self> {
        let Value::Object(mut fields) = without_nulls(body) else {
            return Err(Error::invalid("config cannot be empty in order to create a container"));
        };
        let bad = |source: serde_json::Error| Error::invalid(format!("invalid JSON: {source}"));
        let host = fields.remove("HostConfig").unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        let networking = fields
            .remove("NetworkingConfig")
            .and_then(|mut value| value.get_mut("EndpointsConfig").map(Value::take));
        if fields.is_empty() {
            return Err(Error::invalid("config cannot be empty in order to create a container"));
        }
        for key in ["Cmd", "Entrypoint", "Shell"] {
            if let Some(value @ Value::String(_)) = fields.get_mut(key) {
                *value = Value::Array(vec![value.take()]);
            }
        }
        check_policy_name(&host)?;
        Ok(Self {
            config: serde_json::from_value(Value::Object(fields)).map_err(bad)?,
            host_config: serde_json::from_value(host).map_err(bad)?,
            endpoints: networking.map_or_else(|| Ok(HashMap::new()), serde_json::from_value).map_err(bad)?,
        })
    }
}

/// Drops every null of an object: it means the same as an absent field.
pub fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key, without_nulls(value)))
            .collect(),
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

fn check_policy_name(host: &Value) -> Result<()> {
    let name = host.pointer("/RestartPolicy/Name").and_then(Value::as_str).unwrap_or_default();
    if matches!(name, "" | "no" | "always" | "on-failure" | "unless-stopped") {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "invalid restart policy: unknown policy '{name}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
    )))
}

/// Puts the image's configuration under the request's.
///
/// # Errors
/// 400 when nothing says what to run.
pub fn merge_image(config: &mut ContainerConfig, image: &ContainerConfig) -> Result<()> {
    let mut env: Vec<String> = Vec::new();
    let mut of_image = image.env.clone().unwrap_or_default();
    for entry in config.env.take().unwrap_or_default() {
        let (key, value) =
            entry.split_once('=').map_or((entry.as_str(), None), |(key, value)| (key, Some(value)));
        if key.is_empty() {
            return Err(Error::invalid(format!("invalid environment variable: {entry}")));
        }
        let other = |known: &String| known.split('=').next() != Some(key);
        of_image.retain(other);
        env.retain(other);
        if value.is_some() {
            env.push(entry);
        }
    }
    // The request's own first, as docker lists them.
    env.append(&mut of_image);
    config.env = Some(env);
    match config.entrypoint.as_deref() {
        None => {
            config.entrypoint = image.entrypoint.clone();
            if config.cmd.as_ref().is_none_or(Vec::is_empty) {
                config.cmd = image.cmd.clone();
            }
        }
        // `--entrypoint ""`: none at all.
        Some([only]) if only.is_empty() => config.entrypoint = None,
        Some([]) => {
            config.entrypoint = image.entrypoint.clone();
            if config.cmd.as_ref().is_none_or(Vec::is_empty) {
                config.cmd = image.cmd.clone();
            }
        }
        Some(_) => {}
    }
    let mut labels = image.labels.clone().unwrap_or_default();
    labels.extend(config.labels.take().unwrap_or_default());
    config.labels = Some(labels);
    config.exposed_ports = union(config.exposed_ports.take(), image.exposed_ports.as_deref());
    config.volumes = union(config.volumes.take(), image.volumes.as_deref());
    let or_image = |own: &mut Option<String>, image: &Option<String>| {
        if own.as_deref().is_none_or(str::is_empty) {
            own.clone_from(image);
        }
    };
    or_image(&mut config.working_dir, &image.working_dir);
    or_image(&mut config.user, &image.user);
    or_image(&mut config.stop_signal, &image.stop_signal);
    config.shell = config.shell.take().or_else(|| image.shell.clone());
    config.healthcheck = config.healthcheck.take().or_else(|| image.healthcheck.clone());
    command(config).map(drop)
}

fn union(own: Option<Vec<String>>, image: Option<&[String]>) -> Option<Vec<String>> {
    let mut all = own.unwrap_or_default();
    for item in image.unwrap_or_default() {
        if !all.contains(item) {
            all.push(item.clone());
        }
    }
    all.sort();
    if all.is_empty() { None } else { Some(all) }
}

/// The command line: entrypoint, then command.
///
/// # Errors
/// 400 when both are empty.
pub fn command(config: &ContainerConfig) -> Result<(String, Vec<String>)> {
    let mut words = config.entrypoint.iter().flatten().chain(config.cmd.iter().flatten()).cloned();
    match words.next() {
        Some(path) => Ok((path, words.collect())),
        None => Err(Error::invalid("no command specified")),
    }
}

/// Checks the request and fills in what it leaves open.
///
/// # Errors
/// 400 in docker's words.
pub fn complete(
    request: &mut CreateRequest,
    cgroup_v2: bool,
    defaults: &crate::config::Config,
) -> Result<()> {
    let config = &mut request.config;
    if let Some(dir) = config.working_dir.as_deref().filter(|dir| !dir.is_empty() && !dir.starts_with('/')) {
        return Err(Error::invalid(format!(
            "the working directory '{dir}' is invalid, it needs to be an absolute path"
        )));
    }
    for port in config.exposed_ports.iter().flatten() {
        check_port(port)?;
    }
    let host = &mut request.host_config;
    complete_limits(host)?;
    complete_restart(host)?;
    for (list, name) in [(&mut host.cap_add, "CapAdd"), (&mut host.cap_drop, "CapDrop")] {
        for capability in list.iter_mut().flatten() {
            *capability = if capability.eq_ignore_ascii_case("all") {
                "ALL".to_owned()
            } else {
                let known = oci::spec::capability(capability);
                known
                    .ok_or_else(|| {
                        Error::invalid(format!(
                            "invalid {name}: unknown capability: \"{}\"",
                            spelled(capability)
                        ))
                    })?
                    .to_owned()
            };
        }
    }
    if host.init == Some(true) {
        return Err(Error::new(
            crate::error::Kind::NotImplemented,
            "an init process in the container (--init) is not supported yet",
        ));
    }
    if host.device_requests.as_ref().is_some_and(|requests| !requests.is_empty()) {
        return Err(Error::invalid("could not select device driver \"\" with capabilities: [[gpu]]"));
    }
    let ipc = host.ipc_mode.get_or_insert_default();
    if ipc.is_empty() {
        *ipc = "private".into();
    }
    if !matches!(ipc.as_str(), "none" | "private" | "shareable" | "host") && !ipc.starts_with("container:") {
        return Err(Error::invalid(format!("invalid IPC mode: {ipc}")));
    }
    if host.cgroupns_mode.is_none_or(|mode| mode == HostConfigCgroupnsModeEnum::EMPTY) {
        let private = cgroup_v2 && host.privileged != Some(true);
        host.cgroupns_mode = Some(if private {
            HostConfigCgroupnsModeEnum::PRIVATE
        } else {
            HostConfigCgroupnsModeEnum::HOST
        });
    }
    if host.shm_size.unwrap_or_default() == 0 {
        host.shm_size = Some(DEFAULT_SHM_SIZE);
    }
    if host.network_mode.as_deref().is_none_or(|mode| mode.is_empty() || mode == "default") {
        host.network_mode = Some("bridge".into());
    }
    let log = host.log_config.get_or_insert_with(HostConfigLogConfig::default);
    if log.typ.as_deref().is_none_or(str::is_empty) {
        log.typ = Some(defaults.log_driver.clone());
        if log.config.as_ref().is_none_or(HashMap::is_empty) {
            log.config = Some(defaults.log_opts.clone());
        }
    }
    check_log(log)?;
    let privileged = host.privileged == Some(true);
    let list = |paths: &[&str]| {
        if privileged { Vec::new() } else { paths.iter().map(|path| (*path).to_owned()).collect() }
    };
    host.masked_paths.get_or_insert_with(|| list(oci::spec::MASKED_PATHS));
    host.readonly_paths.get_or_insert_with(|| list(oci::spec::READONLY_PATHS));
    host.console_size.get_or_insert_with(|| vec![0, 0]);
    if request.endpoints.len() == 1
        && let Some(endpoint) = request.endpoints.remove("default")
    {
        request.endpoints.insert("bridge".into(), endpoint);
    }
    Ok(())
}

fn spelled(capability: &str) -> String {
    let upper = capability.to_ascii_uppercase();
    if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") }
}

fn check_port(port: &str) -> Result<()> {
    let number = port.split('/').next().unwrap_or_default();
    let good = number.split('-').all(|part| part.parse::<u16>().is_ok());
    if good { Ok(()) } else { Err(Error::invalid(format!("invalid port specification: \"{number}\""))) }
}

fn check_log(log: &HostConfigLogConfig) -> Result<()> {
    let driver = log.typ.as_deref().unwrap_or_default();
    let known: &[&str] = match driver {
        "json-file" => &[
            "max-size",
            "max-file",
            "compress",
            "labels",
            "labels-regex",
            "env",
            "env-regex",
            "tag",
            "mode",
            "max-buffer-size",
        ],
        "local" => &["max-size", "max-file", "compress", "mode", "max-buffer-size"],
        "none" => return Ok(()),
        _ => return Err(Error::invalid(format!("logger: no log driver named '{driver}' is registered"))),
    };
    match log.config.iter().flat_map(HashMap::keys).find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(Error::invalid(format!("unknown log opt '{key}' for {driver} log driver"))),
        None => log.config.as_ref().map_or(Ok(()), |options| check_rotation(driver, options)),
    }
}

/// dockerd finds these only when it starts the container.
fn check_rotation(driver: &str, options: &HashMap<String, String>) -> Result<()> {
    let refused = |why: String| Err(Error::invalid(format!("failed to initialize logging driver: {why}")));
    let size = options.get("max-size").filter(|text| !text.is_empty() && *text != "-1");
    if let Some(text) = size.filter(|text| logfile::parse_size(text).is_none()) {
        return refused(format!("invalid size: '{text}'"));
    }
    let files = match options.get("max-file").map(|text| (text, text.parse::<i64>())) {
        Some((text, Err(_))) => return refused(format!("strconv.Atoi: parsing \"{text}\": invalid syntax")),
        Some((_, Ok(..1))) => return refused("max-file cannot be less than 1".into()),
        Some((_, Ok(files))) => files,
        None => 1,
    };
    // The other driver rotates by default.
    let compresses = driver == "json-file" && options.get("compress").is_some_and(|text| text == "true");
    if compresses && (files < 2 || size.is_none()) {
        return refused("compress cannot be true when max-file is less than 2 or max-size is not set".into());
    }
    Ok(())
}

/// Checks limits; also for updates.
///
/// # Errors
/// 400 in docker's words.
pub fn complete_limits(host: &mut HostConfig) -> Result<()> {
    let memory = host.memory.unwrap_or_default();
    let swap = host.memory_swap.unwrap_or_default();
    if memory != 0 && memory < MINIMUM_MEMORY {
        return Err(Error::invalid("Minimum memory limit allowed is 6MB"));
    }
    if memory > 0 && swap > 0 && swap < memory {
        return Err(Error::invalid("Minimum memoryswap limit should be larger than memory limit, see usage"));
    }
    if memory == 0 && swap > 0 {
        return Err(Error::invalid(
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        ));
    }
    if memory > 0 && swap == 0 {
        host.memory_swap = Some(memory.saturating_mul(2));
    }
    match host.memory_swappiness {
        Some(-1) => host.memory_swappiness = None,
        Some(value) if !(0..=100).contains(&value) => {
            return Err(Error::invalid(format!(
                "Invalid value: {value}, valid memory swappiness range is 0-100"
            )));
        }
        _ => {}
    }
    if host.memory_reservation.is_some_and(|reserved| reserved > 0 && memory > 0 && reserved > memory) {
        return Err(Error::invalid(
            "Minimum memory limit can not be less than memory reservation limit, see usage",
        ));
    }
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let nano = host.nano_cpus.unwrap_or_default();
    if nano < 0 || nano > i64::try_from(cpus).unwrap_or(i64::MAX).saturating_mul(1_000_000_000) {
        return Err(Error::invalid(format!(
            "range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available"
        )));
    }
    if nano > 0 && (host.cpu_quota.unwrap_or_default() > 0 || host.cpu_period.unwrap_or_default() > 0) {
        return Err(Error::invalid("Conflicting options: Nano CPUs and CPU Period cannot both be set"));
    }
    if host.pids_limit == Some(0) {
        host.pids_limit = None;
    }
    Ok(())
}

fn complete_restart(host: &mut HostConfig) -> Result<()> {
    let policy = host.restart_policy.get_or_insert_with(RestartPolicy::default);
    let retries = policy.maximum_retry_count.get_or_insert(0);
    if policy.name.is_none_or(|name| name == RestartPolicyNameEnum::EMPTY) {
        policy.name = Some(RestartPolicyNameEnum::NO);
    }
    let name = policy.name;
    if *retries != 0 && name != Some(RestartPolicyNameEnum::ON_FAILURE) {
        return Err(Error::invalid(
            "invalid restart policy: maximum retry count can only be used with 'on-failure'",
        ));
    }
    if *retries < 0 {
        return Err(Error::invalid("invalid restart policy: maximum retry count cannot be negative"));
    }
    if host.auto_remove == Some(true) && name != Some(RestartPolicyNameEnum::NO) {
        return Err(Error::invalid("can't create 'AutoRemove' container with restart policy"));
    }
    Ok(())
}

#[cfg(test)]
#[path = "config/tests.rs"]
mod tests;
