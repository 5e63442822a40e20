use serde_json::json;

use super::*;

fn parse(body: Value) -> CreateRequest {
    CreateRequest::parse(body).expect("a good request")
}

fn image() -> ContainerConfig {
    ContainerConfig {
        env: Some(vec!["PATH=/bin".into(), "A=1".into()]),
        cmd: Some(vec!["serve".into()]),
        entrypoint: Some(vec!["/entry".into()]),
        exposed_ports: Some(vec!["80/tcp".into()]),
        ..ContainerConfig::default()
    }
}

fn settings() -> crate::config::Config {
    crate::config::Config::load(crate::config::Args::default()).expect("defaults")
}

fn completed(body: Value) -> Result<CreateRequest> {
    let mut request = CreateRequest::parse(body)?;
    complete(&mut request, false, &settings())?;
    Ok(request)
}

#[test]
fn the_images_command_is_kept_or_dropped_as_docker_does() {
    let run = |body: Value| {
        let mut config = parse(body).config;
        merge_image(&mut config, &image()).map(|()| command(&config).expect("a command"))
    };
    let words = |path: &str, args: &[&str]| {
        (path.to_owned(), args.iter().map(|a| (*a).to_owned()).collect::<Vec<_>>())
    };
    assert_eq!(run(json!({"Image": "x"})).expect("both"), words("/entry", &["serve"]));
    assert_eq!(run(json!({"Image": "x", "Cmd": ["ls"]})).expect("cmd"), words("/entry", &["ls"]));
    assert_eq!(run(json!({"Image": "x", "Entrypoint": ["sh"]})).expect("entrypoint"), words("sh", &[]));
    assert_eq!(
        run(json!({"Image": "x", "Entrypoint": [""], "Cmd": ["ls"]})).expect("reset"),
        words("ls", &[])
    );
    assert!(run(json!({"Image": "x", "Entrypoint": [""]})).is_err());
}

#[test]
fn environment_is_overridden_by_key_and_a_bare_key_removes() {
    let mut config = parse(json!({"Image": "x", "Env": ["A=2", "PATH", "B=3"]})).config;
    merge_image(&mut config, &image()).expect("merge");
    assert_eq!(config.env.expect("env"), ["A=2", "B=3"]);
}

#[test]
fn nulls_and_the_clients_unset_values_mean_defaults() {
    let request = completed(json!({
        "Image": "x", "Env": null, "Labels": {}, "Volumes": null,
        "HostConfig": {"MemorySwappiness": -1, "PidsLimit": 0, "NetworkMode": "default", "ShmSize": 0, "IpcMode": "",
            "CgroupnsMode": "", "LogConfig": {"Type": "", "Config": {}}, "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
            "MaskedPaths": null},
        "NetworkingConfig": {"EndpointsConfig": {"default": {"IPAMConfig": null}}}
    }))
    .expect("the CLI's own request");
    let host = request.host_config;
    assert_eq!((host.memory_swappiness, host.pids_limit, host.shm_size), (None, None, Some(67_108_864)));
    assert_eq!((host.network_mode.as_deref(), host.ipc_mode.as_deref()), (Some("bridge"), Some("private")));
    assert_eq!(host.masked_paths.map(|paths| paths.len()), Some(12));
    assert!(request.endpoints.contains_key("bridge"));
}

#[test]
fn bad_settings_are_refused_in_dockers_words() {
    for (body, text) in [
        (json!({}), "config cannot be empty in order to create a container"),
        (
            json!({"Image": "x", "WorkingDir": "rel"}),
            "the working directory 'rel' is invalid, it needs to be an absolute path",
        ),
        (json!({"Image": "x", "HostConfig": {"Memory": 1}}), "Minimum memory limit allowed is 6MB"),
        (
            json!({"Image": "x", "HostConfig": {"CapAdd": ["bogus"]}}),
            "invalid CapAdd: unknown capability: \"CAP_BOGUS\"",
        ),
        (json!({"Image": "x", "HostConfig": {"IpcMode": "bogus"}}), "invalid IPC mode: bogus"),
        (
            json!({"Image": "x", "HostConfig": {"RestartPolicy": {"Name": "bogus"}}}),
            "invalid restart policy: unknown policy 'bogus'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'",
        ),
        (
            json!({"Image": "x", "HostConfig": {"AutoRemove": true, "RestartPolicy": {"Name": "always"}}}),
            "can't create 'AutoRemove' container with restart policy",
        ),
        (
            json!({"Image": "x", "HostConfig": {"LogConfig": {"Type": "json-file", "Config": {"nosuch": "1"}}}}),
            "unknown log opt 'nosuch' for json-file log driver",
        ),
        (json!({"Image": "x", "ExposedPorts": {"99999": {}}}), "invalid port specification: \"99999\""),
    ] {
        let error = completed(body).expect_err(text);
        assert_eq!(error.to_string(), text);
        assert_eq!(error.kind(), crate::error::Kind::InvalidParameter);
    }
}

#[test]
fn swap_is_twice_the_memory() {
    let request = completed(json!({"Image": "x", "HostConfig": {"Memory": 8_388_608}})).expect("limit");
    assert_eq!(request.host_config.memory_swap, Some(16_777_216));
}
