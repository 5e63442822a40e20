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
            Some("json") => println!("{info}"),
            Some(text) => println!("{}", Template::parse(text)?.render(&info)?),
        }
        Ok(0)
    }
}

fn show(client: &Client, info: &Value) {
    println!("Client:");
    println!(" Version:    {}", env!("CARGO_PKG_VERSION"));
    println!(" Context:    {}", client.host());
    println!("\nServer:");
    let text = |key: &str| match &info[key] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    println!(" Containers: {}", text("Containers"));
    println!("  Running: {}", text("ContainersRunning"));
    println!("  Paused: {}", text("ContainersPaused"));
    println!("  Stopped: {}", text("ContainersStopped"));
    println!(" Images: {}", text("Images"));
    println!(" Server Version: {}", text("ServerVersion"));
    println!(" Storage Driver: {}", text("Driver"));
    for pair in info["DriverStatus"].as_array().into_iter().flatten() {
        println!("  {}: {}", pair[0].as_str().unwrap_or_default(), pair[1].as_str().unwrap_or_default());
    }
    println!(" Logging Driver: {}", text("LoggingDriver"));
    println!(" Cgroup Driver: {}", text("CgroupDriver"));
    println!(" Cgroup Version: {}", text("CgroupVersion"));
    let words = |list: &Value| {
        list.as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect::<Vec<_>>()
            .join(" ")
    };
    println!(" Plugins:");
    for (kind, name) in [("Volume", "Volume"), ("Network", "Network"), ("Log", "Log")] {
        println!("  {name}: {}", words(&info["Plugins"][kind]));
    }
    println!(" Swarm: {}", info["Swarm"]["LocalNodeState"].as_str().unwrap_or("inactive"));
    let runtimes = info["Runtimes"].as_object().into_iter().flatten().map(|(name, _)| name.as_str());
    println!(" Runtimes: {}", runtimes.collect::<Vec<_>>().join(" "));
    println!(" Default Runtime: {}", text("DefaultRuntime"));
    println!(" Init Binary: {}", text("InitBinary"));
    for (key, name) in [("ContainerdCommit", "containerd"), ("RuncCommit", "runc"), ("InitCommit", "init")] {
        println!(" {name} version: {}", info[key]["ID"].as_str().unwrap_or_default());
    }
    println!(" Security Options:");
    for option in info["SecurityOptions"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        for (at, part) in option.split(',').enumerate() {
            match (at, part.split_once('=')) {
                (_, Some(("name", name))) => println!("  {name}"),
                (_, Some((key, value))) => println!("   {}: {value}", capital(key)),
                (_, None) => println!("  {part}"),
            }
        }
    }
    println!(" Kernel Version: {}", text("KernelVersion"));
    println!(" Operating System: {}", text("OperatingSystem"));
    println!(" OSType: {}", text("OSType"));
    println!(" Architecture: {}", text("Architecture"));
    println!(" CPUs: {}", text("NCPU"));
    println!(" Total Memory: {}", units::binary_size(info["MemTotal"].as_f64().unwrap_or(0.0)));
    println!(" Name: {}", text("Name"));
    println!(" ID: {}", text("ID"));
    println!(" Docker Root Dir: {}", text("DockerRootDir"));
    println!(" Debug Mode: {}", text("Debug"));
    println!(" Experimental: {}", text("ExperimentalBuild"));
    println!(" Live Restore Enabled: {}\n", text("LiveRestoreEnabled"));
    for warning in info["Warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        eprintln!("{warning}");
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|c| c.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
