//! Flags to the body of `POST /containers/create`. What is not set is sent as docker's CLI sends it: the
//! daemon's default.

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};

use super::environment::{collect, pairs};
use super::flags::ContainerFlags;
use super::{mounts, ports, values};
use crate::units::{bytes, go_duration};

/// Which streams the command line is attached to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Streams {
    pub(crate) stdin: bool,
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
}

impl Streams {
    pub(crate) const NONE: Self = Self { stdin: false, stdout: false, stderr: false };

    /// All outputs, and the input if it is kept open; or just those named by `-a`.
    fn of(flags: &ContainerFlags) -> anyhow::Result<Self> {
        if flags.attach.is_empty() {
            return Ok(Self { stdin: flags.interactive, stdout: true, stderr: true });
        }
        let mut streams = Self::NONE;
        for name in &flags.attach {
            match name.to_lowercase().as_str() {
                "stdin" => streams.stdin = true,
                "stdout" => streams.stdout = true,
                "stderr" => streams.stderr = true,
                _ => bail!(
                    "invalid argument \"{name}\" for \"-a, --attach\" flag: valid streams are STDIN, STDOUT and STDERR"
                ),
            }
        }
        Ok(streams)
    }

    pub(crate) fn any(self) -> bool {
        self.stdin || self.stdout || self.stderr
    }
}

/// The body, and what to attach.
pub(crate) fn build(flags: &ContainerFlags, detached: bool) -> anyhow::Result<(Value, Streams)> {
    if !["always", "missing", "never"].contains(&flags.pull.as_str()) {
        bail!("invalid pull option: '{}': must be one of \"always\", \"missing\" or \"never\"", flags.pull);
    }
    let streams = if detached { Streams::NONE } else { Streams::of(flags)? };
    if flags.rm && !["no", ""].contains(&flags.restart.as_str()) {
        bail!("conflicting options: cannot specify both --restart and --rm");
    }
    let [image, command @ ..] = flags.image.as_slice() else {
        bail!("\"engine run\" requires at least 1 argument.")
    };
    let (binds, anonymous) = mounts::volumes(&flags.volume)?;
    let ports = ports::parse(&flags.publish, &flags.expose)?;
    let mut body = json!({
        "Image": image,
        "Hostname": flags.hostname.as_deref().unwrap_or_default(),
        "Domainname": flags.domainname.as_deref().unwrap_or_default(),
        "User": flags.user.as_deref().unwrap_or_default(),
        "AttachStdin": streams.stdin,
        "AttachStdout": streams.stdout,
        "AttachStderr": streams.stderr,
        "Tty": flags.tty,
        "OpenStdin": flags.interactive || streams.stdin,
        // An attached input that ends closes the container's; a detached one stays for later.
        "StdinOnce": flags.interactive && streams.stdin,
        "Env": or_null(collect(&flags.env_file, &flags.env)?),
        "Cmd": or_null(command.to_vec()),
        "Entrypoint": flags.entrypoint.as_ref().map(|e| json!([e])),
        "WorkingDir": flags.workdir.as_deref().unwrap_or_default(),
        "Labels": object(pairs(&flags.label_file, &flags.label)?),
        "Volumes": anonymous,
        "ExposedPorts": ports.exposed,
        "OnBuild": null,
    });
    if let Some(signal) = &flags.stop_signal {
        body["StopSignal"] = signal.as_str().into();
    }
    if let Some(seconds) = flags.stop_timeout {
        body["StopTimeout"] = seconds.into();
    }
    if let Some(check) = health(flags)? {
        body["Healthcheck"] = check;
    }
    body["HostConfig"] = host_config(flags, binds, ports.bindings)?;
    body["NetworkingConfig"] = json!({"EndpointsConfig": endpoints(flags)});
    Ok((body, streams))
}

fn host_config(
    flags: &ContainerFlags,
    binds: Vec<String>,
    bindings: Map<String, Value>,
) -> anyhow::Result<Value> {
    let size = |text: &Option<String>| text.as_deref().map_or(Ok(0), bytes);
    let tmpfs = flags.tmpfs.iter().map(|t| {
        let (path, options) = t.split_once(':').unwrap_or((t, ""));
        (path.to_owned(), options.to_owned())
    });
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let mut host = json!({
        "Binds": or_null(binds),
        "ContainerIDFile": flags.cidfile.as_ref().map(|p| p.display().to_string()).unwrap_or_default(),
        "LogConfig": {"Type": text(&flags.log_driver), "Config": object(pairs(&[], &flags.log_opt)?)},
        "NetworkMode": flags.network.as_deref().unwrap_or("default"),
        "PortBindings": bindings,
        "RestartPolicy": values::restart(&flags.restart)?,
        "AutoRemove": flags.rm,
        "VolumesFrom": or_null(flags.volumes_from.clone()),
        "ConsoleSize": crate::tty::size().filter(|_| flags.tty).map_or([0, 0], |(h, w)| [h, w]),
        "Annotations": object(pairs(&[], &flags.annotation)?),
        "CapAdd": or_null(flags.cap_add.clone()),
        "CapDrop": or_null(flags.cap_drop.clone()),
        "CgroupnsMode": text(&flags.cgroupns),
        "Dns": flags.dns,
        "DnsOptions": flags.dns_option,
        "DnsSearch": flags.dns_search,
        "ExtraHosts": or_null(flags.add_host.clone()),
        "GroupAdd": or_null(flags.group_add.clone()),
        "IpcMode": text(&flags.ipc),
        "Links": or_null(flags.link.clone()),
        "OomScoreAdj": flags.oom_score_adj,
        "PidMode": text(&flags.pid),
        "Privileged": flags.privileged,
        "PublishAllPorts": flags.publish_all,
        "ReadonlyRootfs": flags.read_only,
        "SecurityOpt": or_null(flags.security_opt.iter().map(|o| values::security(o)).collect::<anyhow::Result<Vec<_>>>()?),
        "UTSMode": text(&flags.uts),
        "UsernsMode": text(&flags.userns),
        "ShmSize": size(&flags.shm_size)?,
        "Sysctls": object(pairs(&[], &flags.sysctl)?),
    });
    if let (Value::Object(host), Value::Object(limits)) = (&mut host, resources(flags)?) {
        host.extend(limits);
    }
    if let Some(runtime) = &flags.runtime {
        host["Runtime"] = runtime.as_str().into();
    }
    if flags.init {
        host["Init"] = true.into();
    }
    if !flags.tmpfs.is_empty() {
        host["Tmpfs"] = object(tmpfs.collect());
    }
    if !flags.mount.is_empty() {
        host["Mounts"] =
            flags.mount.iter().map(|m| mounts::mount(m)).collect::<anyhow::Result<Vec<_>>>()?.into();
    }
    Ok(host)
}

/// The part of the host configuration that `update` can change too.
fn resources(flags: &ContainerFlags) -> anyhow::Result<Value> {
    let size = |text: &Option<String>| text.as_deref().map_or(Ok(0), bytes);
    let swap = match flags.memory_swap.as_deref() {
        Some("-1") => -1,
        Some(text) => bytes(text)?,
        None => 0,
    };
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    Ok(json!({
        "CpuShares": flags.cpu_shares,
        "Memory": size(&flags.memory)?,
        "NanoCpus": flags.cpus.map_or(0, values::nano_cpus),
        "CgroupParent": text(&flags.cgroup_parent),
        "BlkioWeight": flags.blkio_weight,
        "CpuPeriod": flags.cpu_period,
        "CpuQuota": flags.cpu_quota,
        "CpusetCpus": text(&flags.cpuset_cpus),
        "CpusetMems": text(&flags.cpuset_mems),
        "Devices": flags.device.iter().map(|d| values::device(d)).collect::<anyhow::Result<Vec<_>>>()?,
        "DeviceCgroupRules": or_null(flags.device_cgroup_rule.clone()),
        "MemoryReservation": size(&flags.memory_reservation)?,
        "MemorySwap": swap,
        "MemorySwappiness": flags.memory_swappiness,
        "OomKillDisable": flags.oom_kill_disable,
        "PidsLimit": flags.pids_limit,
        "Ulimits": flags.ulimit.iter().map(|u| values::ulimit(u)).collect::<anyhow::Result<Vec<_>>>()?,
    }))
}

/// What is to be set on the endpoint of the one network chosen.
fn endpoints(flags: &ContainerFlags) -> Value {
    let mut endpoint = json!({});
    if let Some(ip) = &flags.ip {
        endpoint["IPAMConfig"]["IPv4Address"] = ip.as_str().into();
    }
    if let Some(ip) = &flags.ip6 {
        endpoint["IPAMConfig"]["IPv6Address"] = ip.as_str().into();
    }
    if let Some(mac) = &flags.mac_address {
        endpoint["MacAddress"] = mac.as_str().into();
    }
    if !flags.network_alias.is_empty() {
        endpoint["Aliases"] = flags.network_alias.clone().into();
    }
    match (&flags.network, endpoint.as_object().is_some_and(Map::is_empty)) {
        (Some(name), false) => json!({name: endpoint}),
        (None, false) => json!({"default": endpoint}),
        (_, true) => json!({}),
    }
}

fn health(flags: &ContainerFlags) -> anyhow::Result<Option<Value>> {
    if flags.no_healthcheck {
        return Ok(Some(json!({"Test": ["NONE"]})));
    }
    let nanos = |text: &Option<String>| match text {
        None => Ok(0),
        Some(t) => go_duration(t).with_context(|| format!("time: invalid duration {t:?}")),
    };
    let (interval, timeout) = (nanos(&flags.health_interval)?, nanos(&flags.health_timeout)?);
    let start = nanos(&flags.health_start_period)?;
    if flags.health_cmd.is_none() && interval == 0 && timeout == 0 && start == 0 && flags.health_retries == 0
    {
        return Ok(None);
    }
    let test = flags.health_cmd.as_ref().map(|command| json!(["CMD-SHELL", command]));
    Ok(Some(json!({
        "Test": test, "Interval": interval, "Timeout": timeout, "StartPeriod": start, "Retries": flags.health_retries,
    })))
}

fn or_null(list: Vec<String>) -> Value {
    if list.is_empty() { Value::Null } else { list.into() }
}

fn object(pairs: Vec<(String, String)>) -> Value {
    Value::Object(pairs.into_iter().map(|(k, v)| (k, v.into())).collect())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    #[command(disable_help_flag = true)]
    struct Line {
        #[command(flatten)]
        flags: ContainerFlags,
    }

    fn request(line: &str, detached: bool) -> (Value, Streams) {
        let words = std::iter::once("run").chain(line.split(' '));
        build(&Line::try_parse_from(words).unwrap().flags, detached).unwrap()
    }

    #[test]
    fn everything_behind_the_image_belongs_to_the_command() {
        let (body, _) = request("-it --rm -e A=1 busybox sh -c -it --rm -e", false);
        assert_eq!(body["Image"], "busybox");
        assert_eq!(body["Cmd"], json!(["sh", "-c", "-it", "--rm", "-e"]));
        assert_eq!(body["Env"], json!(["A=1"]));
        assert_eq!(body["HostConfig"]["AutoRemove"], true);
    }

    #[test]
    fn stdin_is_once_only_when_attached() {
        let (body, streams) = request("-i busybox", false);
        assert_eq!((&body["OpenStdin"], &body["StdinOnce"]), (&json!(true), &json!(true)));
        assert!(streams.stdin && streams.stdout && streams.stderr);
        let (body, streams) = request("-i busybox", true);
        assert_eq!((&body["OpenStdin"], &body["StdinOnce"]), (&json!(true), &json!(false)));
        assert_eq!(streams, Streams::NONE);
        let (body, _) = request("busybox", false);
        assert_eq!((&body["OpenStdin"], &body["AttachStdout"]), (&json!(false), &json!(true)));
    }

    #[test]
    fn what_is_not_set_means_the_daemons_default() {
        let (body, _) = request("busybox", false);
        assert_eq!(body["Cmd"], Value::Null);
        assert_eq!(body["HostConfig"]["NetworkMode"], "default");
        assert_eq!(body["HostConfig"]["MemorySwappiness"], -1);
        assert_eq!(body["HostConfig"]["RestartPolicy"], json!({"Name":"no","MaximumRetryCount":0}));
    }

    #[test]
    fn limits_and_networks_arrive() {
        let (body, _) =
            request("-m 64m --cpus 0.5 --network n1 --network-alias a -h box -p 80 busybox", true);
        let host = &body["HostConfig"];
        assert_eq!((&host["Memory"], &host["NanoCpus"]), (&json!(64 << 20), &json!(500_000_000)));
        assert_eq!(body["NetworkingConfig"]["EndpointsConfig"], json!({"n1":{"Aliases":["a"]}}));
        assert_eq!(body["Hostname"], "box");
    }
}
