//! `info`.

use serde_json::Value;

use crate::client::Client;
use crate::template::Template;
use crate::units;

/// Display system-wide information
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Format output using a custom template
    #[arg(short, long)]
    format: Option<String>,
}

impl Args {
    pub(crate) async fn run(self, client: &Client) -> anyhow::Result<u8> {
        let info = client.get("/info", &[]).await?;
        match self.format.as_deref() {
            None | Some("") => show(client, &info),
            Some("json") => say!("{info}"),
            Some(text) => say!("{}", Template::parse(text)?.render(&info)?),
        }
        Ok(0)
    }
}

fn show(client: &Client, info: &Value) {
    say!("Client:");
    say!(" Version:    {}", env!("CARGO_PKG_VERSION"));
    say!(" Context:    {}", client.host());
    say!("\nServer:");
    let text = |key: &str| match &info[key] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    say!(" Containers: {}", text("Containers"));
    say!("  Running: {}", text("ContainersRunning"));
    say!("  Paused: {}", text("ContainersPaused"));
    say!("  Stopped: {}", text("ContainersStopped"));
    say!(" Images: {}", text("Images"));
    say!(" Server Version: {}", text("ServerVersion"));
    say!(" Storage Driver: {}", text("Driver"));
    for pair in info["DriverStatus"].as_array().into_iter().flatten() {
        say!("  {}: {}", pair[0].as_str().unwrap_or_default(), pair[1].as_str().unwrap_or_default());
    }
    say!(" Logging Driver: {}", text("LoggingDriver"));
    say!(" Cgroup Driver: {}", text("CgroupDriver"));
    say!(" Cgroup Version: {}", text("CgroupVersion"));
    let words = |list: &Value| {
        list.as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect::<Vec<_>>()
            .join(" ")
    };
    say!(" Plugins:");
    for (kind, name) in [("Volume", "Volume"), ("Network", "Network"), ("Log", "Log")] {
        say!("  {name}: {}", words(&info["Plugins"][kind]));
    }
    say!(" Swarm: {}", info["Swarm"]["LocalNodeState"].as_str().unwrap_or("inactive"));
    let runtimes = info["Runtimes"].as_object().into_iter().flatten().map(|(name, _)| name.as_str());
    say!(" Runtimes: {}", runtimes.collect::<Vec<_>>().join(" "));
    say!(" Default Runtime: {}", text("DefaultRuntime"));
    say!(" Init Binary: {}", text("InitBinary"));
    for (key, name) in [("ContainerdCommit", "containerd"), ("RuncCommit", "runc"), ("InitCommit", "init")] {
        say!(" {name} version: {}", info[key]["ID"].as_str().unwrap_or_default());
    }
    say!(" Security Options:");
    for option in info["SecurityOptions"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        for (at, part) in option.split(',').enumerate() {
            match (at, part.split_once('=')) {
                (_, Some(("name", name))) => say!("  {name}"),
                (_, Some((key, value))) => say!("   {}: {value}", capital(key)),
                (_, None) => say!("  {part}"),
            }
        }
    }
    say!(" Kernel Version: {}", text("KernelVersion"));
    say!(" Operating System: {}", text("OperatingSystem"));
    say!(" OSType: {}", text("OSType"));
    say!(" Architecture: {}", text("Architecture"));
    say!(" CPUs: {}", text("NCPU"));
    say!(" Total Memory: {}", units::binary_size(info["MemTotal"].as_f64().unwrap_or(0.0)));
    say!(" Name: {}", text("Name"));
    say!(" ID: {}", text("ID"));
    say!(" Docker Root Dir: {}", text("DockerRootDir"));
    say!(" Debug Mode: {}", text("Debug"));
    say!(" Experimental: {}", text("ExperimentalBuild"));
    say!(" Live Restore Enabled: {}\n", text("LiveRestoreEnabled"));
    for warning in info["Warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        eprintln!("{warning}");
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|c| c.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
